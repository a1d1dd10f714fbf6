"""Writes scores_pandas.parquet: scores of bits as pandas writes them, to show that others' files are read.

Made with pandas and pyarrow; the versions stand in the file itself.
"""

from pathlib import Path

import numpy as np
import pandas as pd

rows = 12
table = pd.DataFrame(
    {
        "bit": (np.arange(rows) % 6).astype("uint8"),
        "index": np.arange(rows) // 6,
        "layer": pd.Categorical(["conv2d_0_m"] * 6 + ["encoded_vector"] * 6),
        "tensor": ["kernel"] * 9 + ["bias"] * 3,
        "score": np.arange(rows).astype("float32") / 3,
        "rank": np.arange(rows).astype("uint16")[::-1],
        "gaps": [None if row == 7 else row / 7 for row in range(rows)],
    }
)
table.to_parquet(Path(__file__).with_name("scores_pandas.parquet"), row_group_size=5)
