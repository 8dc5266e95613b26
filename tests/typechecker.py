"""The checker that pytest's `--jaxtyping-packages` puts on every signature: beartype, knowing `Self`."""

from typing import Self

from beartype import BeartypeConf, FrozenDict, beartype

# jaxtyping decorates methods one by one, where beartype cannot tell what `Self` stands for and refuses it.
checked = beartype(conf=BeartypeConf(is_pep484_tower=True, hint_overrides=FrozenDict({Self: object})))
