-- Page views of CloudFront standard logs, as `visits` (DuckDB).
--
--   $cloudfront_logs   a pattern of the files; CAPI_SQL_CLOUDFRONT_LOGS
--
-- Times are UTC. Later fields may be missing in old files, so lines are split here. Cookies are there
-- only if cookie logging is on. Values are percent-encoded, some of them twice.
WITH fields AS (
    SELECT string_split(line, chr(9)) AS f
    FROM read_csv(
        $cloudfront_logs,
        columns = {'line': 'VARCHAR'},
        delim = chr(1), quote = '', escape = '', header = false, auto_detect = false
    )
    WHERE line NOT LIKE '#%'
),
requests AS (
    SELECT
        f,
        (f[1] || ' ' || f[2])::TIMESTAMP AT TIME ZONE 'UTC' AS occurred_at,
        url_decode(url_decode(nullif(f[13], '-'))) AS cookie
    FROM fields
)
SELECT
    f[15] AS visit_id,
    occurred_at,
    f[17] || '://' || f[16] || f[8] || coalesce('?' || nullif(f[12], '-'), '') AS page_url,
    nullif(f[10], '-') AS referrer_url,
    f[5] AS client_ip_address,
    url_decode(url_decode(nullif(f[11], '-'))) AS client_user_agent,
    nullif(regexp_extract(cookie, '(?:^|; *)_fbp=([^; ]+)', 1), '') AS fbp,
    nullif(regexp_extract(cookie, '(?:^|; *)_fbc=([^; ]+)', 1), '') AS fbc
FROM requests
WHERE
    occurred_at >= $hour_start
    AND occurred_at < $hour_end
    AND f[6] = 'GET'
    AND f[9] IN ('200', '304')
    AND NOT regexp_matches(
        lower(f[8]), '\.(png|jpe?g|gif|webp|avif|ico|svg|css|js|map|woff2?|ttf|otf|eot)$'
    )
