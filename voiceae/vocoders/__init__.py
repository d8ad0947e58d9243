"""Log-mel to wave, behind one interface: source-filter, HiFi-GAN, Griffin-Lim."""
