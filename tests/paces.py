"""A machine of which every time is known."""

from transfusion.runs.estimate import Pace

PACE = Pace(
    begin_s=1,
    step_s=2,
    image_s=0.5,
    pair_s=0,
    fit_s=0,
    num_held_out=10,
    weights=int(1e6),
    num_outputs=2,
    has_validation=False,
)
