"""What comes beside a satellite strip and what it means: vendor metadata as PVL, text or XML, loose or in a TAR.

Readers (``pvl``, ``geoeye_text``, ``imagery_xml``) turn foreign bytes into ``records.Group``; ``strip_facts`` maps a
group to facts; ``sidecars`` finds the metadata of an image, ``placement`` its footprint, ``name_checks`` where name and
metadata disagree.
"""
