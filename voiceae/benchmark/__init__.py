"""How fast every stage is, each figure beside a yardstick of the same run."""
