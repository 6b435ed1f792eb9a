"""tau2-bench for real: do edited caches act as a full prefill does, on its policies, databases and tools?

Records of the retail and airline databases whose state gates an action by the policy's own text: an order can
be cancelled while it is pending and returned once it is delivered. The policy is moved in as a precompiled
chunk, the state is an editable field, and it changes between the moment that the cache is made and the request.
Actions are calls of the package's own tools, and success is its own comparison of databases after the call with
those after the right call. Source of the question: arXiv 2606.17107, tau2: one decision, episodes on one order
and a loop; there a wrong denial could not be told from a right one by the database, here most requests have a
right tool in either state.
"""
