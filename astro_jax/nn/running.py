"""What a light curve in several passbands has shown so far: maxima, colours and pace, at each step.

A recurrent network that reads one observation after the other has to learn to sort them by passband
and to remember the brightest of each before it can see a colour or a decline. This says it at once.
Causal: a step knows nothing of later ones. Passbands are put together by wavelength.
"""

import jax
import jax.numpy as jnp
from jax import Array

EDGES = (0.42, 0.55, 0.69, 0.82)  # micrometre, between u, g, r, i and all that is redder
COLOURS = len(EDGES) + 1
SNR = 3.0  # points below it show nothing
FLOOR = 0.02  # of scaled flux, FLUXCAL 10: magnitude 25
NEVER = -1e9
COLUMNS = 6 * COLOURS + 2 * len(EDGES) + 4  # what `running` returns


def running(values: Array, mask: Array, distance: Array, known: Array) -> Array:
    """Return what is known of each row's light curve after each observation, [B, T, COLUMNS].

    values: [B, T, 4], wavelength (micrometre), time (0 .. 1 over 100 days), flux and error in
        FLUXCAL / 500; mask: [B, T] bool
    distance: [B], 2 ln of the luminosity distance over any fixed one, 0 where not `known` [B] bool
    Of each of five colours: seen yet or not; ln of flux now over its maximum, of this maximum over
    that of all; days since the last point, since the maximum, from first point to maximum. Of
    neighbours: colour now and at maximum. Of all: ln of the largest and of this flux, and both as
    luminosities. Zero where unknown and in padding.
    """
    wavelength, time, flux, error = jnp.moveaxis(jnp.where(mask[..., None], values, 0.0), -1, 0)
    good = mask & (flux > SNR * error)
    colour = jnp.searchsorted(jnp.array(EDGES), wavelength)
    chosen = good[..., None] & (colour[..., None] == jnp.arange(COLOURS))  # [B, T, 5]
    light = jnp.log(jnp.maximum(flux, FLOOR))
    step = jnp.arange(mask.shape[1])[:, None]

    def at(place: Array, series: Array) -> Array:
        index = jnp.clip(place, 0, mask.shape[1] - 1)
        return jnp.take_along_axis(jnp.broadcast_to(series[..., None], index.shape), index, axis=1)

    last = jax.lax.cummax(jnp.where(chosen, step, -1), axis=1)
    top = jax.lax.cummax(jnp.where(chosen, light[..., None], NEVER), axis=1)
    summit = chosen & (light[..., None] >= top)
    summit = jax.lax.cummax(jnp.where(summit, step, -1), axis=1)
    first = jax.lax.cummin(jnp.where(chosen, step, mask.shape[1]), axis=1)
    seen = last >= 0
    now, top = at(last, light), jnp.where(seen, top, 0.0)
    best = jax.lax.cummax(jnp.where(good, light, NEVER), axis=1)
    any_seen = best > NEVER
    best = jnp.where(any_seen, best, 0.0)
    days = 100.0 * time[..., None]
    each = [
        jnp.ones_like(top),
        now - top,
        top - best[..., None],
        (days - 100.0 * at(last, time)) / 10.0,
        (days - 100.0 * at(summit, time)) / 20.0,
        100.0 * (at(summit, time) - at(first, time)) / 20.0,
    ]
    both = seen[..., 1:] & seen[..., :-1]
    colours = [jnp.where(both, x[..., :-1] - x[..., 1:], 0.0) for x in (now, top)]
    far = jnp.where(known, distance, 0.0)[:, None]
    whole = [best, light, known[:, None] * (best + far), known[:, None] * (light + far)]
    whole = jnp.where(any_seen[..., None], jnp.stack(whole, axis=-1) / 2.0, 0.0)
    each = [jnp.where(seen, x, 0.0) for x in each]
    found = jnp.concatenate([*each, *colours, whole], axis=-1)
    return jnp.where(mask[..., None], found, 0.0)
