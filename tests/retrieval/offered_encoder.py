"""A plugin that offers an encoder: what ``install`` puts there."""

SOURCE = '''
import hashlib
import numpy as np
import customize


@customize.options
class Letters(customize.Encoder):
    """Counts letters."""

    letters: str = customize.option(default="abcdefgh", help="Which.")
    weight: float = customize.option(default=1.0, help="Of each.", above=0.0)

    @property
    def fingerprint(self):
        return hashlib.sha256(f"{self.letters} {self.weight}".encode()).hexdigest()

    def encode_queries(self, texts):
        counts = [[1 + self.weight * text.lower().count(c) for c in self.letters] for text in texts]
        made = np.array(counts)
        return np.asarray(made / np.linalg.norm(made, axis=1, keepdims=True), np.float32)

    def encode_chunks(self, texts):
        return self.encode_queries(texts)


@customize.hookimpl
def customize_encoders():
    yield customize.EncoderSpec(
        name="letters", target=f"{__name__}:Letters", summary="Counts letters."
    )
'''
