"""Demo: synthetic voices and tiny encoders, so that everything runs without a download.

Read `voices` first, then `encoders`.
"""
