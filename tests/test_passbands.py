"""The one table of passbands."""

import re
from pathlib import Path

import numpy as np
import pytest

from astro_jax.errors import UserError
from astro_jax.passbands import NAMES, PASSBANDS, SURVEYS, find, resolve, wavelengths


def wavelength(name):
    return PASSBANDS[NAMES.index(name)].wavelength


@pytest.mark.parametrize("prefix", ["ztf", "ps1", "des", "lsst", ""])
def test_blue_is_shorter_than_red(prefix):
    assert wavelength(f"{prefix}g") < wavelength(f"{prefix}r") < wavelength(f"{prefix}i")


def test_names_are_unique_and_wavelengths_optical():
    assert len(set(NAMES)) == len(NAMES)
    assert all(0.3 < p.wavelength < 1.1 for p in PASSBANDS)


def test_wavelengths_of_the_shared_object_tables(shared):
    """The line of the data's README that gives them."""
    text = (shared / "data" / "README_transients.md").read_text()
    line = re.search(r"Effective wavelengths.*?\n\n", text, re.DOTALL)[0]
    pairs = re.findall(r"\b([A-Za-z]\w*) (\.\d+)", line)
    assert len(pairs) == 22
    assert {name: float(value) for name, value in pairs} == {n: wavelength(n) for n, _ in pairs}


@pytest.mark.parametrize(
    ("name", "survey", "expected"),
    [
        ("ztfg", None, "ztfg"),
        ("ZTF_g", None, "ztfg"),
        ("zr", "ztf", "ztfr"),
        ("2", "ZTF", "ztfr"),
        ("LSST-Y", None, "lssty"),
        ("5", "PLAsTiCC", "lssty"),
        ("0", "lsst", "lsstu"),
        ("ps1::z", None, "ps1z"),
        ("DES-g", None, "desg"),
        ("g", "DES", "desg"),
        ("g", None, "g"),
        ("g", "some other survey", "g"),
        ("R", "ZTF", "ztfr"),
        ("X", "YSE", "ztfg"),
        ("Y", "YSE", "ztfr"),
        ("i", "YSE", "ps1i"),
        ("R", None, "R"),
        ("r", None, "r"),
        ("bessellv", None, "V"),
        ("sdssu", None, "u"),
        (" ztfi ", None, "ztfi"),
    ],
)
def test_names_of_surveys(name, survey, expected):
    assert NAMES[resolve([name], survey)[0]] == expected


def test_every_alias_leads_into_the_table():
    for survey, letters in SURVEYS.items():
        for letter, name in letters.items():
            assert NAMES[find(letter, survey)] == name


def test_a_capital_letter_is_not_the_small_one():
    assert find("G") is None
    assert find("R") != find("r")


@pytest.mark.parametrize("name", ["Ks", "", None, "X", "6"])
def test_an_unknown_band_lists_the_known_ones(name):
    with pytest.raises(UserError) as error:
        resolve(["ztfg", name], where="lc.csv, column fid")
    text = str(error.value)
    assert text.startswith("lc.csv, column fid: unknown band")
    assert f"'{name}'" in text and all(known in text for known in NAMES) and "\n" not in text


def test_an_unknown_letter_of_a_survey_lists_its_letters():
    with pytest.raises(UserError, match="survey ztf also writes g, r, i, 1, 2, 3, zg, zr, zi, R"):
        resolve(["w"], "ztf")


def test_bands_that_will_be_left_out_need_not_be_known():
    codes = resolve(["UVW1", "ztfg", "UVW2", "UVW1"], strict=False)
    assert codes[1] == NAMES.index("ztfg")
    assert codes[0] == codes[3] != codes[2] and min(codes[0], codes[2]) >= len(NAMES)


def test_the_released_networks_have_g_and_r_swapped():
    told, true = wavelengths("astromcad"), wavelengths()
    for name in NAMES:
        k = NAMES.index(name)
        assert true[k] == np.float32(wavelength(name))
        if not name.endswith(("g", "r")):
            assert np.isnan(told[k])
    for prefix in ("ztf", "ps1", "des", "lsst", ""):
        g, r = (told[NAMES.index(prefix + letter)] for letter in "gr")
        assert g == np.float32(0.6223) and r == np.float32(0.4827)


def test_unknown_system():
    with pytest.raises(UserError, match="no wavelengths 'swapped'"):
        wavelengths("swapped")


def test_no_wavelength_stands_elsewhere():
    """The numbers of the table occur in no other module of the package."""
    numbers = {f"{p.wavelength:g}" for p in PASSBANDS} | {"0.6223", "0.4827"}
    numbers = {n.lstrip("0") for n in numbers if len(n.lstrip("0")) > 4}
    package = Path(__file__).parents[1] / "astro_jax"
    for path in package.rglob("*.py"):
        if path.name != "passbands.py":
            found = set(re.findall(r"(?<![\d])0?(\.\d{4})(?!\d)", path.read_text()))
            assert not found & numbers, path
