-- Page views of Matomo's visits log, as `visits` (DuckDB): the JSON of Live.getLastVisitsDetails, or of the
-- export of Visitors > Visits log.
--
--   $matomo_visits   a pattern of the files; CAPI_SQL_MATOMO_VISITS
--
-- `timestamp` is epoch seconds. visitIp is as anonymised as your Matomo stores it. Matomo keeps no user agent.
WITH actions AS (
    SELECT idVisit, visitorId, userId, visitIp, referrerUrl, unnest(actionDetails) AS a
    FROM read_json(
        $matomo_visits,
        columns = {
            idVisit: 'VARCHAR', visitorId: 'VARCHAR', userId: 'VARCHAR', visitIp: 'VARCHAR',
            referrerUrl: 'VARCHAR',
            actionDetails: 'STRUCT(type VARCHAR, url VARCHAR, "timestamp" BIGINT, pageId VARCHAR)[]'
        }
    )
)
SELECT
    idVisit || '.' || a.pageId AS visit_id,
    to_timestamp(a.timestamp) AS occurred_at,
    a.url AS page_url,
    referrerUrl AS referrer_url,
    coalesce(userId, visitorId) AS external_id,
    visitIp AS client_ip_address
FROM actions
WHERE
    a.type = 'action'
    AND to_timestamp(a.timestamp) >= $hour_start
    AND to_timestamp(a.timestamp) < $hour_end
