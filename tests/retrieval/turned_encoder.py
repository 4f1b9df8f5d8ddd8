"""A plugin that offers an encoder which an adapter can put right: what ``install`` puts there."""

# A vector for each number, and for questions the same one turned: what an adapter can undo.
SOURCE = '''
import hashlib
import re
import numpy as np
import customize

RNG = np.random.default_rng(7)
VECTORS = RNG.normal(size=(200, 8))
VECTORS /= np.linalg.norm(VECTORS, axis=1, keepdims=True)
TURN, _ = np.linalg.qr(RNG.normal(size=(8, 8)))


@customize.options
class Turned(customize.Encoder):
    """Vectors by the first number of a text."""

    @property
    def fingerprint(self):
        return hashlib.sha256(b"turned").hexdigest()

    def encode_chunks(self, texts):
        numbers = [int((re.findall(r"\\d+", text) or ["0"])[0]) for text in texts]
        return np.asarray(VECTORS[numbers], np.float32)

    def encode_queries(self, texts):
        return np.asarray(self.encode_chunks(texts) @ TURN, np.float32)


@customize.hookimpl
def customize_encoders():
    yield customize.EncoderSpec(
        name="turned", target=f"{__name__}:Turned", summary="Turns questions."
    )
'''
