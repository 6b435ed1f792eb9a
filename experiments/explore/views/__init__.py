"""From numbers to what is seen: pure functions to plotly figures and pieces of the page."""
