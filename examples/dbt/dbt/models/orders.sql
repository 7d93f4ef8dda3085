-- In place of your shop's table: an order from each visit.
select
    'o' || substr(visit_id, 2) as order_id,
    occurred_at + interval 20 minute as occurred_at,
    9.5 as value,
    'EUR' as currency,
    'person' || visit_id || '@example.com' as email,
    visit_id
from {{ ref('visits') }}
