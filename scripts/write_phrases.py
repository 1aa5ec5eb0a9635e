"""Write the vectors of the phrasebook, src/reflexarc/onboard/phrases.npz, after it has changed."""

import os

import numpy as np

from reflexarc.onboard.catalogue import DEFAULT
from reflexarc.onboard.encoder import Encoder
from reflexarc.onboard.hearing import plain
from reflexarc.onboard.models import ModelStore, default_root, find
from reflexarc.onboard.phrasebook import phrasebook
from reflexarc.onboard.vectors import SHIPPED, write_vectors

if __name__ == "__main__":
    folder = find(DEFAULT, ModelStore(default_root(os.environ))).encoder
    assert folder is not None, "run: reflexarc models pull"
    texts = sorted(set(map(plain, phrasebook().said())))
    write_vectors(SHIPPED, texts, Encoder(folder).encode(texts).astype(np.float16))
    SHIPPED.chmod(0o644)
    print(f"{SHIPPED}: {len(texts)} phrases, {SHIPPED.stat().st_size} bytes")
