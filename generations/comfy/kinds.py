"""The kinds of widgets that ComfyUI's editor has: which values it keeps of each, and which it sends.

Sources: src/scripts/widgets.ts, src/renderer/extensions/vueNodes/widgets/composables and src/extensions/core of
ComfyUI_frontend 1.58. An input of any other type is a socket: it can only be linked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MATCH, AUTOGROW = "COMFY_MATCHTYPE_V3", "COMFY_AUTOGROW_V3"
DYNAMIC_COMBO, DYNAMIC_GROUP = "COMFY_DYNAMICCOMBO_V3", "COMFY_DYNAMICGROUP_V3"
VIEW = "comfysaas_view"  # our name for a LOAD_3D that shows what a node gets: its untouched state is known
SENT_PLAYER = "comfysaas_player"  # our name for an AUDIO_UI of 2025: the editor sent an empty text for it
# Our names for what a CustomCombo has beside its choice: the number of the chosen option, and its options.
CHOSEN_NUMBER, TYPED_OPTION = "comfysaas_number", "comfysaas_option"


class _Absent:
    """Stands for a value that JSON leaves out."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = _Absent()


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of widget.

    `default`: what it holds where neither the file nor the node's class tells. `is_kept`: its value takes a place among
    a node's stored values. `is_sent`: the value goes to the server. `helpers`: places of hidden widgets behind it.
    `has_own_default`: the class cannot set the default. `is_captured`: only a browser can give the value.
    `is_unknown`: the editor computes it in a way that is not known here.
    """

    default: object = ABSENT
    is_kept: bool = True
    is_sent: bool = True
    helpers: int = 0
    has_own_default: bool = False
    is_captured: bool = False
    is_unknown: bool = False


_BUTTON = Kind("", is_sent=False, has_own_default=True)
KINDS: dict[str, Kind] = {
    "INT": Kind(0),
    "FLOAT": Kind(0),
    "BOOLEAN": Kind(False),
    "STRING": Kind(""),
    "COMBO": Kind(),
    "MARKDOWN": Kind(""),
    "TEXTAREA": Kind(""),
    "COLOR": Kind("#000000"),
    "COLORS": Kind([]),
    "CHART": Kind({}),
    "GALLERIA": Kind([]),
    "PAINTER": Kind(),
    "COMPOSITOR": Kind({}),
    "CURVE": Kind({"points": [[0, 0], [1, 1]], "interpolation": "monotone_cubic"}),
    "RANGE": Kind({"min": 0.0, "max": 1.0}),
    "VIDEO_EDIT": Kind({"trim": {"start_time": 0, "duration": 0}, "crop": {"x": 0, "y": 0, "width": 0, "height": 0}}),
    # Behind a box there are its four numbers, for old canvases.
    "BOUNDING_BOX": Kind({"x": 0, "y": 0, "width": 512, "height": 512}, helpers=4),
    "BOUNDING_BOXES": Kind([]),
    "LIGHT_INFO_PREVIEW": Kind([]),
    "IMAGECOMPARE": Kind(["", ""], is_kept=False, has_own_default=True),
    "RESOLUTION_PREVIEW": Kind(is_kept=False, is_sent=False),
    "CAMERA_INFO_STATE": Kind(is_kept=False, is_sent=False),
    "CAMERA_ANGLE_VIEW": Kind(is_sent=False),
    "AUDIO_UI": Kind(is_kept=False, is_sent=False),
    SENT_PLAYER: Kind("", is_kept=False),
    "PREVIEW_3D": Kind(""),
    DYNAMIC_COMBO: Kind(has_own_default=True),
    DYNAMIC_GROUP: Kind(is_sent=False, has_own_default=True),
    CHOSEN_NUMBER: Kind(-1),
    TYPED_OPTION: Kind(""),
    "IMAGEUPLOAD": _BUTTON,
    "AUDIOUPLOAD": _BUTTON,
    # The browser's camera, microphone and 3D view. A recorder has its button behind it.
    "WEBCAM": Kind("", is_captured=True),
    "AUDIO_RECORD": Kind("", helpers=1, is_captured=True),
    "LOAD_3D": Kind("", is_captured=True),
    VIEW: Kind(""),
    "LOAD_3D_ADVANCED": Kind("", is_captured=True),
    "LOAD_3D_ANIMATION": Kind("", is_captured=True),
    "COMFY_BRANCH_INPUT_NAMES": Kind(is_unknown=True),
}
