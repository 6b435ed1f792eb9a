"""tau2-bench for real: do edited caches act as a full prefill does, on its policies, databases and tools?

Records of the retail and airline databases whose state gates an action by the policy's own text: an order can
be cancelled while it is pending and returned once it is delivered. The policy is moved in as a precompiled
chunk, the state is an editable field, and it changes between the making of the cache and the request. Actions
are calls of the package's own tools; success is its own comparison of the database after the call with that
after the right call, and that no tool raised. Source of the question: arXiv 2606.17107, tau2: one decision,
episodes on one order, and a loop.
"""
