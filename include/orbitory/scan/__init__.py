"""The rolling audit: storage is held against the inventory every day, and so many bytes of it are read again.

1. ``partitions`` cuts the paths of storage into ranges that leave no gap; each range is the work of one task.
2. ``reconcile`` compares names and sizes three ways (database, walk, database), so that a live archive gives no false
   finding. ``fixity`` reads the files longest unread, as far as the day's budget goes.
3. What looks wrong becomes a finding (``findings``). ``acting`` sets dark files aside and makes missing or damaged ones
   ``suspect`` (``doubt``): only after two looks agreed, and never so many that storage itself must be at fault.
"""
