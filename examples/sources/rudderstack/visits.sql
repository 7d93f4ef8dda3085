-- Page calls in RudderStack's warehouse tables, as `visits`. Set CAPI_VISITS_URL to the warehouse.
--
-- "web" is the schema of your source. The column "timestamp" is the time of the call by the server's
-- clock; late calls keep it. In Snowflake and BigQuery write it without quotes.
SELECT
    id AS visit_id,
    "timestamp" AS occurred_at,
    url AS page_url,
    referrer AS referrer_url,
    coalesce(context_ip, context_request_ip) AS client_ip_address,
    context_user_agent AS client_user_agent,
    coalesce(user_id, anonymous_id) AS external_id
FROM web.pages
WHERE
    "timestamp" >= $hour_start
    AND "timestamp" < $hour_end
