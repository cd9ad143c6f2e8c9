"""What to do about a reason of the quarantine, in a few words."""

import re

# The first pattern that occurs in a reason tells. Most reasons name a fix themselves, or have none
# but to look at the file.
WAYS = (
    (r"name it with|name them|store text|config\.", ""),
    (r"refused", "unpack or thin it out yourself if you trust it"),
    (r"broken|truncated|checksum|cut short|not a protobuf|not a Sequence|damaged", "get it again"),
    (r"empty|no rows|no records|no OBS|no curves", "get it again, or leave it out"),
    (r"binary data", "give text, Parquet or a format of the README"),
    (r"^unreadable", "give FITS of LAMOST, SDSS or MILES, or Parquet; or leave it out"),
    (r"constant|without a time span|two finite|inverse variances",
     "nothing to do: there is nothing to learn from"),
    (r"reach the grid", "give Angstrom, or name another grid: --config.data.wavelengths=..."),
    (r"neither light curve nor spectrum",
     "nothing to do; or name the column of its ids: --config.data.catalogue_id=..."),
    (r"repeated (key|id)", "leave one of the rows out, or give each its own id or band"),
    (r"no id|id column", "give every row an id, as text or int64"),
    (r"sentinel|missing|upper limit|flagged|not positive|repeated epoch|far outside|no trigger",
     "nothing to do where they were not measured; else name the columns: --config.columns.mag=..."),
    (r"text where|wrong number of values|differ(ent|) (in |)length|numbers expected|lists",
     "mend these lines or lists in the file"),
    (r"occurs more than once|column", "name the columns, as in --config.columns.time=..."),
)  # fmt: skip
ELSE = "name its format, as in --config.format=csv, or leave it out"


def advice(reason: str) -> str:
    """Return what to do about a reason of the quarantine; "" where the reason says it itself."""
    return next((told for pattern, told in WAYS if re.search(pattern, reason)), ELSE)
