"""Networks that come inside packages, loaded on demand: scorers of evaluation, teachers of training."""
