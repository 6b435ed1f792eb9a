"""The identity of a chunk's model is that of every other cache: see ``pkv_interp.models.identity``."""

from pkv_interp.models.identity import identity_of, identity_parts, tokenizer_sha256

__all__ = ["identity_of", "identity_parts", "tokenizer_sha256"]
