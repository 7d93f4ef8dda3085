-- Page views of a combined log (nginx, Apache), as `visits` (DuckDB).
--
--   $access_logs   the log, or a pattern of several, gzipped or not; CAPI_SQL_ACCESS_LOGS
--   $site          the address before each path: https://shop.example; CAPI_SQL_SITE
--
-- The time of each line has its offset. Fields after the user agent are left out.
WITH requests AS (
    SELECT
        line,
        regexp_extract(
            line,
            '^(\S+) \S+ \S+ \[([^\]]+)\] "(\S+) (\S+)[^"]*" (\d{3}) \S+ "([^"]*)" "([^"]*)"',
            ['ip', 'time', 'method', 'target', 'status', 'referrer', 'agent']
        ) AS r,
        try_strptime(r['time'], '%d/%b/%Y:%H:%M:%S %z') AS occurred_at
    FROM read_csv(
        $access_logs,
        columns = {'line': 'VARCHAR'},
        delim = chr(1), quote = '', escape = '', header = false, auto_detect = false
    )
)
SELECT DISTINCT  -- the same line twice is one visit
    md5(line) AS visit_id,
    occurred_at,
    $site || r['target'] AS page_url,
    nullif(r['referrer'], '-') AS referrer_url,
    r['ip'] AS client_ip_address,
    nullif(r['agent'], '-') AS client_user_agent
FROM requests
WHERE
    occurred_at >= $hour_start
    AND occurred_at < $hour_end
    AND r['method'] = 'GET'
    AND r['status'] IN ('200', '304')
    AND NOT regexp_matches(
        lower(split_part(r['target'], '?', 1)),
        '\.(png|jpe?g|gif|webp|avif|ico|svg|css|js|map|woff2?|ttf|otf|eot)$'
    )
