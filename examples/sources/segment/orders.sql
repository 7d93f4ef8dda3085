-- Calls of the event "Order Completed" in Segment's warehouse tables, as `orders`. Set CAPI_ORDERS_URL
-- to the warehouse; see visits.sql. event_id is the call's message id: let the Pixel send it too.
SELECT
    order_id,
    "timestamp" AS occurred_at,
    id AS event_id,
    coalesce(total, revenue) AS value,
    currency,
    context_page_url AS event_source_url,
    context_ip AS client_ip_address,
    context_user_agent AS client_user_agent,
    context_traits_email AS email,
    coalesce(user_id, anonymous_id) AS external_id
FROM web.order_completed
WHERE
    "timestamp" >= $hour_start
    AND "timestamp" < $hour_end
