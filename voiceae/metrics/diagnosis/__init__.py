"""What is wrong inside a model: collapse, leakage, codes unlike their prior, dead codebooks, muddled voices."""





