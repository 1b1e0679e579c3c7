"""Views above one another and beside each other, put together without a copy of everything in them.

Altair's own charts of several views copy every view, to its last colour, when they are made, given a property and
written: more than half of the time of a picture with twenty names in its scales. Here views are taken as they are.
"""

from typing import Any

import altair as alt


class _Layers(alt.LayerChart):
    """Layers that are taken as they are."""

    def __init__(self, data: Any = alt.Undefined, layer: Any = (), **properties: Any):
        alt.TopLevelLayerSpec.__init__(self, data=data, layer=list(layer), **properties)


class _Panels(alt.HConcatChart):
    """Panels beside each other that are taken as they are."""

    def __init__(self, data: Any = alt.Undefined, hconcat: Any = (), **properties: Any):
        alt.TopLevelHConcatSpec.__init__(self, data=data, hconcat=list(hconcat), **properties)


def layered(*layers: Any, data: Any = alt.Undefined, **properties: Any) -> alt.LayerChart:
    """What `altair.layer` makes of single views: data that all share, and selections, belong to the whole.

    `properties` are those of the whole: title, width, height, usermeta.
    """
    own = [layer.copy(deep=False) for layer in layers]
    if data is alt.Undefined and all(layer.data is own[0].data for layer in own):
        data = own[0].data
        for layer in own:
            layer.data = alt.Undefined
    selections = [one for place, layer in enumerate(own) for one in _lifted(layer, place)]
    return _Layers(data, own, params=selections or alt.Undefined, **properties)


def panelled(*panels: Any, **properties: Any) -> alt.HConcatChart:
    """The panels beside each other; selections that reach over several are among the `properties`, as `params`."""
    return _Panels(hconcat=panels, **properties)


def _lifted(layer: Any, place: int) -> list[alt.TopLevelSelectionParameter]:
    """A layer's selections for the whole, which knows by the layer's name where they are made."""
    if layer.params is alt.Undefined:
        return []
    if layer.name is alt.Undefined:
        layer.name = f"view_{place}"
    views, found = [layer.name], layer.params
    layer.params = alt.Undefined
    return [alt.TopLevelSelectionParameter(name=one.name, select=one.select, bind=one.bind, views=views) for one in found]  # fmt: skip
