"""Small valid files of every format that is read, made by independent writers, to be damaged."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from surveys import test_astromer_files as tfrecords
from surveys.test_plasticc import LIGHT, META
from surveys.test_snana import SNPCC, write_pair
from surveys.test_ztf_alerts import ALERTS, FORCED, TABLE


class Sample(NamedTuple):
    """A valid input: the files by name, which of them is damaged, of what kind it is.

    One file is read by its name, several as the folder they are in.

    reader: "curves", "transients", "published", "spectra" or "catalogue"; kind: of `damages`
    """

    name: str
    reader: str
    kind: str
    files: dict[str, bytes]
    main: str


RAW = [
    "macho_mjd/lc_1.3444.614.B.mjd",
    "macho_star_txt/MACHO_sample.txt",
    "macho_tap_csv/LC_1.3319.10.csv",
    "ogle3_dat/ecl/I/OGLE-LMC-ECL-00003.dat",
    "ogle3_dat/catalogue/ident.dat",
    "asas_training_dat/215153.dat",
    "asas_vosource_xml/152326.xml",
    "crts_csv/1001006006382-EW.csv",
    "eros1_ramp_csv/train_varlength_features.csv",
    "eros2_time/lm0010k3978.time",
    "sdss_s82_csv/1056152.csv",
    "asassn_skypatrol_csv/1000521_head.csv",
]


def parquet_bytes(table: pa.Table) -> bytes:
    """Return a table as a Parquet file."""
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


def table_sample(name: str, reader: str, table: pa.Table) -> Sample:
    """Return a Parquet file as a sample."""
    file = f"{name.replace(' ', '_')}.parquet"
    return Sample(name, reader, "parquet", {file: parquet_bytes(table)}, file)


def lists(points: int = 5, count: int = 3) -> dict[str, list]:
    """Return columns of an object table."""
    rng = np.random.default_rng(0)
    time = [(50_000 + np.arange(points) + k).tolist() for k in range(count)]
    mag = rng.normal(15, 0.1, (count, points)).tolist()
    return {"time": time, "mag": mag, "magerr": np.full((count, points), 0.1).tolist()}


def curve_samples() -> Iterator[Sample]:
    """Yield tables of light curves: text, Parquet in three layouts, TFRecords."""
    columns = lists()
    rows = [
        f"{k + 1},{'BR'[j % 2]},{t},{m},{e}"
        for k, curve in enumerate(zip(*columns.values(), strict=True))
        for j, (t, m, e) in enumerate(zip(*curve, strict=True))
    ]
    text = "\n".join(["id,band,mjd,mag,magerr", *rows, ""]).encode()
    yield Sample("csv", "curves", "text", {"a.csv": text}, "a.csv")
    plain = b"".join(b"%.4f  %.3f  0.02\n" % (50_000.5 + k, 15 + k / 100) for k in range(30))
    yield Sample("blanks", "curves", "text", {"star.dat": b"mjd mag err\n" + plain}, "star.dat")
    told = {"id": [2**53 + 1, 7, 8], "band": ["B", "R", None], "label": ["a", "b", None]}
    table = pa.table({**told, **columns})
    yield table_sample("object table", "curves", table)
    flat = {n: [x for c in columns[n] for x in c] for n in columns}
    long = pa.table({"id": np.repeat(["a", "b", "c"], 5), "mjd": flat.pop("time"), **flat})
    yield table_sample("long table", "curves", long)
    packed = [
        [{"time": t, "mag": m, "band": "g"} for t, m in zip(*pair, strict=True)]
        for pair in zip(columns["time"], columns["mag"], strict=True)
    ]
    nested = pa.table({"id": [1, 2, 3], "lightcurve": packed})
    yield table_sample("list of struct", "curves", nested)
    hats = [{"time": t, "mag": m} for t, m in zip(columns["time"], columns["mag"], strict=True)]
    yield table_sample("struct of lists", "curves", pa.table({"id": ["a", "b", "c"], "lc": hats}))
    records = b"".join(tfrecords.frame(tfrecords.version_0(5, k, b"1.2.%d" % k)) for k in range(3))
    yield Sample("tfrecord", "curves", "binary", {"chunk_0.record": records}, "chunk_0.record")


def transient_samples(folder: Path) -> Iterator[Sample]:
    """Yield transients in every format; folder: where astropy may write."""

    def text(name: str, content: str, **beside: str) -> Sample:
        files = {name: content.encode(), **{n: c.encode() for n, c in beside.items()}}
        return Sample(name, "transients", "text", files, name)

    yield text("sn.dat", SNPCC)
    yield text("alerts.csv", ALERTS, **{"bts.csv": TABLE.lstrip()})
    yield text("bts.csv", TABLE.lstrip(), **{"alerts.csv": ALERTS})
    yield text("forcedphotometry_req00069624_lc.txt", FORCED)
    light, meta = ("\n".join(",".join(map(str, r)) for r in rows) for rows in (LIGHT, META))
    names = "plasticc_train_lightcurves.csv", "plasticc_train_metadata.csv"
    yield text(names[0], light, **{names[1]: meta})
    yield text(names[1], meta, **{names[0]: light})
    rows = [f"a,{60_000 + k},ztf{'gr'[k % 2]},{100 + 9 * k},{k + 5}" for k in range(8)]
    yield text("fluxes.csv", "\n".join(["id,mjd,band,flux,fluxerr", *rows]))
    time = lists()["time"]
    columns = {
        "object_id": ["a", "b", "c"], "time": time, "band": [["ztfg", "ztfr"] * 2 + ["ztfg"]] * 3,
        "flux": np.full((3, 5), 90.0).tolist(), "fluxerr": np.full((3, 5), 9.0).tolist(),
        "redshift": [0.1, None, -9.0], "label": ["SNIa", "SNII", ""], "mwebv": [0.1, 0.2, None],
    }  # fmt: skip
    yield table_sample("fluxes", "transients", pa.table(columns))
    write_pair(folder)
    pair = {path.name: path.read_bytes() for path in folder.glob("ELASTICC_*.FITS")}
    for name in sorted(pair):
        yield Sample(name, "transients", "binary", pair, name)


def object_samples(folder: Path) -> Iterator[Sample]:
    """Yield the published layout of AstroM3, spectra and catalogues."""
    from astropy.io import fits

    from astro_jax.data.multimodal_rules import METADATA

    rng, nested = np.random.default_rng(0), pa.list_(pa.list_(pa.float32()))
    columns = {
        "photometry": pa.array(rng.normal(size=(4, 6, 9)).tolist(), nested),
        "spectra": pa.array(rng.normal(size=(4, 3, 8)).tolist(), nested),
        "metadata": pa.array(rng.normal(size=(4, 34)).tolist(), pa.list_(pa.float32())),
        "label": pa.array([0, 1, 2, 0], pa.int64()),
        "id": ["s0", "s1", "s2", "s3"],
    }
    told = {"info": {"features": {"label": {"names": ["A", "B", "C"]}}}}
    table = pa.table(columns).replace_schema_metadata({"huggingface": json.dumps(told)})
    yield table_sample("published", "published", table)
    wave = np.linspace(4000.0, 9000.0, 40)
    flux = rng.normal(10, 1, (2, 40))
    table = pa.table({"id": ["s", "t"], "flux": flux.tolist(), "ivar": (flux * 0 + 1).tolist(),
                      "wavelength": [wave.tolist()] * 2, "z": [0.1, None]})  # fmt: skip
    yield table_sample("spectra", "spectra", table)
    grid = table.drop_columns(["wavelength"]).replace_schema_metadata(
        {"grid": "log10(lambda/Angstrom) = 3.58 + 0.0001*i"}
    )
    yield table_sample("grid", "spectra", grid)
    columns = [fits.Column("flux", "E", array=flux[0]), fits.Column("ivar", "E", array=flux[0]),
               fits.Column("loglam", "E", array=np.log10(wave))]  # fmt: skip
    image = fits.PrimaryHDU(flux[:1].astype(np.float32))
    image.header.update({"CRVAL1": 3525.0, "CDELT1": 0.9, "OBJNAME": "HD 1"})
    rows = fits.PrimaryHDU(np.stack([flux[0], flux[1]]).astype(np.float32))
    rows.header.update({"COEFF0": 3.58, "COEFF1": 1e-4, "OBSID": 12})
    made = {
        "table.fits": [fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns)],
        "image.fits": [image],
        "rows.fits": [rows],
    }
    for name, units in made.items():
        fits.HDUList(units).writeto(folder / name)
        content = {name: (folder / name).read_bytes()}
        yield Sample(name, "spectra", "binary", content, name)
    table = {"id": ["a", "b", "b"], **{name: rng.uniform(1, 9, 3).tolist() for name in METADATA}}
    text = "\n".join(",".join(map(str, row)) for row in [table.keys(), *zip(*table.values())])  # noqa: B905
    yield Sample("c.csv", "catalogue", "text", {"c.csv": text.encode()}, "c.csv")
    yield table_sample("catalogue", "catalogue", pa.table(table))


def raw_samples(folder: Path) -> Iterator[Sample]:
    """Yield the starts of original files from the shared folder."""
    for name in RAW:
        path = folder / name
        content = path.read_bytes()[:20_000]
        yield Sample(name, "curves", "text", {path.name: content}, path.name)
    for name in ("lamost_fits", "miles_fits"):
        path = sorted((folder / name).glob("*.fits"))[0]
        yield Sample(name, "spectra", "binary", {path.name: path.read_bytes()}, path.name)
    path = sorted((folder / "snana_dat").iterdir())[0]
    yield Sample("snana_dat", "transients", "text", {path.name: path.read_bytes()}, path.name)
