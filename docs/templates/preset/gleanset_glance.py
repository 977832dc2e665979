"""A first look at a new dataset in half a minute: tiny images, a tiny network, few epochs."""

# Every setting of the method, as in the files of baseline/presets/, which explain them.
GLANCE = {
    "method": "simple",
    "size": 48,
    "fit": "stretch",
    "colour": "rgb",
    "augment": "characters",
    "balance": "weights",
    "seed": 0,
    "precision": "auto",
    "blocks": [16, 32],
    "dense": 32,
    "dropout": 0.3,
    "weight_decay": 1e-4,
    "optimiser": "adam",
    "learning_rate": 2e-3,
    "batch": 64,
    "epochs": 15,
    "patience": 5,
}
