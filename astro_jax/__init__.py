"""Learn from survey light curves with few labels. Public names are imported when first used."""

import importlib
from typing import Any

_WHERE = {
    "Curves": "data.curves",
    "MaskedSelfAttention": "nn.attention",
    "ProjectionHead": "nn.heads",
    "Run": "weights",
    "TimeEncoding": "nn.positional",
    "UserError": "errors",
    "band_names": "data.transients",
    "encode": "infer",
    "export_encoder": "exporting",
    "fit": "fitting",
    "fit_classifier": "fitting",
    "load": "weights",
    "predict": "prediction",
    "read_objects": "multimodal_source",
    "read_survey": "data.read",
    "read_transients": "data.read_transients",
    "reconstruct": "infer",
    "save_pretrained": "exchange",
    "save_safetensors": "weights",
    "search": "evals.retrieval",
    "simulate_objects": "data.simulate.trimodal",
    "simulate_survey": "data.simulate",
    "simulate_transients": "data.simulate.transients",
    "write_table": "data.table",
}
__all__ = sorted(_WHERE)  # noqa: PLE0605
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"astro_jax has no '{name}'; public names: {', '.join(__all__)}")
    return getattr(importlib.import_module(f"astro_jax.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
