-- Statistics: how much the archive holds, by what people ask for.

-- statistics_granules: archived granules counted by up to three dimensions; those not asked for are null
SELECT dimension_of(g, %(one)s) AS one, dimension_of(g, %(two)s) AS two, dimension_of(g, %(three)s) AS three,
       count(*)::bigint AS granules, min(lower(g.sensing)) AS first, max(lower(g.sensing)) AS last
FROM granule g
WHERE g.state = 'archived'
  AND (%(all_versions)s OR NOT EXISTS (SELECT FROM granule n WHERE n.id = g.superseded_by AND n.state = 'archived'))
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
