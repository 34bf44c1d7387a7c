"""What all of Azure has in common: `clouds` (which Azure), `identity` (who asks), `access` (both),
`blobs` (files), `faults` (what an error of a client means). The SDKs are imported when first used.
"""
