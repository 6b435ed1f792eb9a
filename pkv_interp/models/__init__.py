"""Loading models and describing them."""
