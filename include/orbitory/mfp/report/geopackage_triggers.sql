-- They keep the R-tree of a layer true when people edit it (OGC 12-128r19, annex F.3). LAYER stands for its name.
CREATE TRIGGER rtree_LAYER_geom_insert AFTER INSERT ON LAYER WHEN (NEW.geom NOTNULL AND NOT ST_IsEmpty(NEW.geom))
BEGIN
    INSERT OR REPLACE INTO rtree_LAYER_geom VALUES (NEW.fid, ST_MinX(NEW.geom), ST_MaxX(NEW.geom), ST_MinY(NEW.geom), ST_MaxY(NEW.geom));
END;
CREATE TRIGGER rtree_LAYER_geom_update6 AFTER UPDATE OF geom ON LAYER
WHEN OLD.fid = NEW.fid AND (NEW.geom NOTNULL AND NOT ST_IsEmpty(NEW.geom)) AND (OLD.geom NOTNULL AND NOT ST_IsEmpty(OLD.geom))
BEGIN
    UPDATE rtree_LAYER_geom SET minx = ST_MinX(NEW.geom), maxx = ST_MaxX(NEW.geom), miny = ST_MinY(NEW.geom), maxy = ST_MaxY(NEW.geom)
    WHERE id = NEW.fid;
END;
CREATE TRIGGER rtree_LAYER_geom_update7 AFTER UPDATE OF geom ON LAYER
WHEN OLD.fid = NEW.fid AND (NEW.geom NOTNULL AND NOT ST_IsEmpty(NEW.geom)) AND (OLD.geom ISNULL OR ST_IsEmpty(OLD.geom))
BEGIN
    INSERT INTO rtree_LAYER_geom VALUES (NEW.fid, ST_MinX(NEW.geom), ST_MaxX(NEW.geom), ST_MinY(NEW.geom), ST_MaxY(NEW.geom));
END;
CREATE TRIGGER rtree_LAYER_geom_update2 AFTER UPDATE OF geom ON LAYER WHEN OLD.fid = NEW.fid AND (NEW.geom ISNULL OR ST_IsEmpty(NEW.geom))
BEGIN
    DELETE FROM rtree_LAYER_geom WHERE id = OLD.fid;
END;
CREATE TRIGGER rtree_LAYER_geom_update5 AFTER UPDATE ON LAYER WHEN OLD.fid != NEW.fid AND (NEW.geom NOTNULL AND NOT ST_IsEmpty(NEW.geom))
BEGIN
    DELETE FROM rtree_LAYER_geom WHERE id = OLD.fid;
    INSERT OR REPLACE INTO rtree_LAYER_geom VALUES (NEW.fid, ST_MinX(NEW.geom), ST_MaxX(NEW.geom), ST_MinY(NEW.geom), ST_MaxY(NEW.geom));
END;
CREATE TRIGGER rtree_LAYER_geom_update4 AFTER UPDATE ON LAYER WHEN OLD.fid != NEW.fid AND (NEW.geom ISNULL OR ST_IsEmpty(NEW.geom))
BEGIN
    DELETE FROM rtree_LAYER_geom WHERE id IN (OLD.fid, NEW.fid);
END;
CREATE TRIGGER rtree_LAYER_geom_delete AFTER DELETE ON LAYER WHEN OLD.geom NOTNULL
BEGIN
    DELETE FROM rtree_LAYER_geom WHERE id = OLD.fid;
END;
UPDATE gpkg_contents SET (min_x, min_y, max_x, max_y) = (SELECT min(minx), min(miny), max(maxx), max(maxy) FROM rtree_LAYER_geom)
WHERE table_name = 'LAYER';
