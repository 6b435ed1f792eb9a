"""Does what was found hold on families that nothing was ranked, trained or chosen on?

Claims, thresholds, models and sizes were written down and committed before (configs/preregistration.yaml).
What is ranked or fitted is so on the packaged discovery families; the families to be confirmed are scored
once. Each figure is measured as in the experiment that it comes from.
"""
