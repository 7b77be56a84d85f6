"""What the bridge assumes of RetailCRM although no documentation says it: a table, and docs/assumptions.md shows it.

Laws: each choice stands in one place of the code, *where*; a question that is *asked* either reads, or is in `WRITES`.
A new assumption takes its row here when it is made.
"""

from __future__ import annotations

from dataclasses import dataclass

from amibridge.doctor.findings import Level
from amibridge.doctor.live import access, histories, module, people, writing
from amibridge.doctor.live.asking import Question

WRITES = frozenset(
    {
        writing.not_enabled,
        writing.unknown_code,
        writing.call_told_twice,
        writing.old_call,
        writing.customer_made_twice,
        writing.phones_edited,
        writing.task_done,
    }
)
"""Are asked with `--write` only."""


@dataclass(frozen=True, slots=True)
class Assumption:
    """*about*: a word or two. *assumes*: a sentence without full stop. *where*: ``module:name`` of the choice.

    *question*: what settles it; a text is why nothing can, and how a person may find out. *meanwhile*: what somebody
    can do whose account does otherwise. *grave*: then something that is promised does not happen.
    """

    about: str
    assumes: str
    where: str
    question: Question | str
    meanwhile: str
    grave: bool = False

    @property
    def level(self) -> Level:
        """Of an account that does otherwise."""
        return Level.FAIL if self.grave else Level.WARN


ASSUMPTIONS = (
    # -- the door
    Assumption(
        "wrong key",
        'a key that is none is refused in the words `Wrong "apiKey" value`',
        "amibridge.retailcrm.responses:TEXTS",
        access.wrong_key,
        "take `crm_in_trouble` in the log for a wrong key, too",
    ),
    Assumption(
        "missing right",
        "what the key may not do is refused with 403 or `Access denied`",
        "amibridge.retailcrm.responses:STATUSES",
        access.missing_right,
        "give the key all rights that docs/operations.md names",
    ),
    Assumption(
        "rights",
        "a key may ask for its own rights",
        "amibridge.delivery.rights:KeyRights",
        access.own_rights,
        "compare its rights with docs/operations.md by hand",
    ),
    Assumption(
        "settings",
        "a key with these rights may read the time zone in `settings`",
        "amibridge.delivery.zone:AccountZone",
        access.settings_allowed,
        "set `timezone` in the enterprise file and apply it",
    ),
    Assumption(
        "time",
        "times without offset are in the account's time zone",
        "amibridge.retailcrm.fields:local",
        access.account_time,
        "set `timezone` in the enterprise file to the zone that it writes, and apply it",
        grave=True,
    ),
    Assumption(
        "clock change",
        "in the hour that a clock shows twice, a date means either, and no call is lost by it",
        "amibridge.retailcrm.fields:local",
        "no answer tells of the time of a call; look at the history of calls on the morning after",
        "nothing",
    ),
    Assumption(
        "rates",
        "10 requests a second and 40 of telephony, for each key; 503 or 429 says that it was too much",
        "amibridge.retailcrm.limits:RATES",
        "it takes a burst that would hold up the bridge; `crm_in_trouble` in the log shows it",
        "nothing: who is refused asks again later",
    ),
    Assumption(
        "stores",
        "calls, customers and orders go to the store that `site` names, and `site` is taken wherever we send it",
        "amibridge.retailcrm.requests:calls_upload",
        "it takes an account with several stores and records in each; `CRM stores` compares the names",
        "nothing",
    ),
    # -- lists
    Assumption(
        "page of 100",
        "a page of a list holds 100 records when 100 are asked for",
        "amibridge.retailcrm.fields:PAGE_SIZES",
        access.page_of_a_hundred,
        "nothing: lists take longer, and of a number that more than a page has the rest is not seen",
    ),
    Assumption(
        "unknown filter",
        "a filter that there is not may be refused or passed over: nobody is believed to have a number unseen",
        "amibridge.retailcrm.phone_match:having",
        access.unknown_filter,
        "nothing",
    ),
    Assumption(
        "100 ids",
        "100 ids may be asked for at once",
        "amibridge.retailcrm.fields:MOST_LISTED",
        access.many_ids,
        "look for `crm_not_followed` in the log: customers and orders may be old here",
    ),
    Assumption(
        "250 statuses",
        "the status of 250 orders may be asked for at once",
        "amibridge.retailcrm.orders:MOST_STATUSES",
        access.many_statuses,
        "ask for fewer where your own Python uses `order_statuses`",
    ),
    Assumption(
        "user status",
        "a user is free, busy, at dinner or on a break",
        "amibridge.retailcrm.users:UserStatus",
        access.statuses_of_users,
        "nothing: somebody with another status counts as one of whom nothing is known",
    ),
    # -- customers by phone
    Assumption(
        "phone lookup",
        "`telephony/manager` finds who has a number, in whatever way it was typed",
        "amibridge.retailcrm.service:RetailCRMService.search_customer_by_phone",
        people.lookup_by_phone,
        "nothing, as long as `phone search` is as assumed",
    ),
    Assumption(
        "lookup of nobody",
        "`telephony/manager` names nobody for a number that nobody has",
        "amibridge.retailcrm.phone_lookup:ManagerReply",
        people.lookup_of_nobody,
        "nothing: phones are compared here",
    ),
    Assumption(
        "lookup of several",
        "of several with one number `telephony/manager` names one of them",
        "amibridge.retailcrm.service:RetailCRMService.search_customer_by_phone",
        people.lookup_of_several,
        "merge in the CRM who is there twice",
    ),
    Assumption(
        "user's code",
        "`telephony/manager` tells the extension of who looks after the caller, as our module gave it",
        "amibridge.retailcrm.phone_lookup:Manager",
        people.lookup_tells_code,
        "name the users of all extensions in [operators], and apply the file",
    ),
    Assumption(
        "phone search",
        "filter[name] finds a customer by the digits of his number as it was typed, also through brackets and dashes",
        "amibridge.retailcrm.phone_match:PhoneForms.searches",
        people.search_by_digits,
        "create_customers = false in the enterprise file, unless `phone lookup` is as assumed",
        grave=True,
    ),
    Assumption(
        "search by a part",
        "filter[name] may want the whole number, or a part: each usual way to write one is looked for",
        "amibridge.retailcrm.phone_match:PhoneForms.searches",
        people.search_by_a_part,
        "nothing",
    ),
    Assumption(
        "merged customer",
        "who asks for a customer who was merged is told into whom",
        "amibridge.retailcrm.service:RetailCRMService.customer",
        people.merged_customer,
        "nothing: merges are known from the history, too",
    ),
    Assumption(
        "customer twice",
        "a customer whose externalId is known is refused, and the refusal names externalId",
        "amibridge.retailcrm.service:names_external_id",
        writing.customer_made_twice,
        "create_customers = false in the enterprise file",
        grave=True,
    ),
    Assumption(
        "phones in edit",
        "phones in an edit take the place of those that were there",
        "amibridge.retailcrm.customers:edit_customer",
        writing.phones_edited,
        "nothing: the bridge edits no phones; your own Python may",
    ),
    # -- histories
    Assumption(
        "history cursor",
        "behind filter[sinceId] a history goes on with the next change, oldest first, and without a page",
        "amibridge.retailcrm.history:customers_history",
        histories.cursor,
        "take crm_customers and crm_orders for incomplete",
        grave=True,
    ),
    Assumption(
        "history start",
        "with filter[startDate] alone a history begins at that time",
        "amibridge.sync.walk:walk_page",
        histories.start,
        "nothing: the first reading takes longer",
    ),
    Assumption(
        "more history",
        "totalPageCount is above 1 exactly when there is more behind a page",
        "amibridge.retailcrm.history:CustomerHistoryReply",
        histories.says_when_there_is_more,
        "nothing: the rest is read five minutes later",
    ),
    Assumption(
        "history sources",
        "a change was made by user, api or code, and with our own key only where it says so",
        "amibridge.retailcrm.history:HistoryRecord",
        histories.sources,
        "nothing: a change of any other source is fetched",
    ),
    Assumption(
        "history kept",
        "changes are kept for longer than the bridge is ever away",
        "amibridge.sync.walk:walk_page",
        "it takes weeks without the bridge; what was missed comes with the customer's or order's next change",
        "after weeks without the bridge, take crm_customers and crm_orders for incomplete",
    ),
    # -- the module
    Assumption(
        "no such module",
        "a module that there is not is `Not found`, or 400 with `Errors in the input parameters`",
        "amibridge.retailcrm.modules:says_there_is_none",
        module.no_such_module,
        "`amibridge retailcrm register` says what the CRM said and registers nothing: send us that",
        grave=True,
    ),
    Assumption(
        "whole module",
        "our module is told with its telephony and the extensions of users, so that writing it back loses none",
        "amibridge.retailcrm.module_wish:wished",
        module.whole_module,
        "enter no extensions in the CRM: name them all in [operators] before `amibridge retailcrm register`",
        grave=True,
    ),
    Assumption(
        "list left out",
        "a list of extensions that is left out is left alone; an empty one wipes them, so none is ever sent",
        "amibridge.retailcrm.module_wish:wished",
        "it takes a module with extensions that may be lost; `amibridge retailcrm status` shows what became of them",
        "name all extensions in [operators]",
    ),
    Assumption(
        "callbacks",
        "callbacks come as GET or form, unsigned, with our `clientId`, and may come twice or late",
        "amibridge.retailcrm.callbacks:Activity",
        "the CRM makes them: switch the module off and on there, and look for `crm_tells_activity` in the log",
        "nothing",
    ),
    Assumption(
        "triggers",
        "the action HTTP request of a trigger can send two parameters to an address with a secret in it",
        "amibridge.retailcrm.triggers:Hint",
        "the CRM makes them: change a customer there, and look whether `crm_customers` follows within seconds",
        "nothing: customers and orders are here within five minutes",
    ),
    # -- popups and calls
    Assumption(
        "no telephony",
        "without an active telephony module events and calls are refused as `Telephony not enabled`",
        "amibridge.retailcrm.responses:TEXTS",
        writing.not_enabled,
        "register the module before the bridge starts, and look at parked deliveries",
        grave=True,
    ),
    Assumption(
        "unknown extension",
        "an event for an extension that nobody has is taken, and notExistCodes names it",
        "amibridge.retailcrm.replies:CallEventReply",
        writing.unknown_code,
        "see with `amibridge retailcrm users` that every extension has a user",
    ),
    Assumption(
        "popups",
        "`in` opens a popup for each extension, another `in` for others theirs; `hangup` closes, and records nothing",
        "amibridge.retailcrm.render:popup",
        "only eyes can see it: ring a group and look at two screens, then at the history of calls",
        "nothing",
    ),
    Assumption(
        "extensions",
        "an extension may have any characters that Asterisk allows",
        "amibridge.retailcrm.requests:call_event",
        "what is refused shows in the deliveries: amibridge deliveries N --state dropped",
        "give users numbers for extensions",
    ),
    Assumption(
        "call told twice",
        "a call whose externalId is known changes nothing, and duplicateCalls names it",
        "amibridge.retailcrm.replies:CallsUploadReply",
        writing.call_told_twice,
        "look in the CRM whether calls are there twice after a restart of the bridge",
        grave=True,
    ),
    Assumption(
        "old call",
        "a call is taken for as long as the bridge tries to tell it: five days",
        "amibridge.delivery.policy:PATIENCE",
        writing.old_call,
        "after an outage of days, look at parked deliveries",
    ),
    Assumption(
        "50 calls",
        "an upload takes 50 calls",
        "amibridge.retailcrm.requests:MAX_CALLS",
        "it takes 50 calls that are none; one that is refused is halved until it is taken",
        "nothing",
    ),
    Assumption(
        "recordings",
        "recordUrl is asked for when somebody plays the call, as often as he does, with Range or without",
        "amibridge.web.recordings:serve_recordings",
        "play a call in the CRM, and look for `recording_fetched` in the log",
        "keep recordings where they are",
    ),
    # -- tasks
    Assumption(
        "tasks",
        "a task is made for a user, listed with its text on the day of its making, and done by an edit that says so",
        "amibridge.delivery.missed_tasks:MissedTasks",
        writing.task_done,
        "create_tasks = false in the enterprise file",
    ),
    Assumption(
        "order twice",
        "an order whose externalId is known is refused, and the refusal names externalId",
        "amibridge.retailcrm.service:names_external_id",
        "it takes an order that people would see; `customer twice` asks the same of customers",
        "create_orders = false in the enterprise file",
    ),
    Assumption(
        "order's store",
        "an order is read and edited with the `site` with which it was made",
        "amibridge.delivery.missed_orders:MissedOrders",
        "it takes an account with several stores, and an order in each",
        "create_orders = false in the enterprise file",
    ),
    Assumption(
        "notices",
        "a notice is shown to the users that it names",
        "amibridge.retailcrm.notifications:send_notification",
        "somebody would see it",
        "nothing: the bridge sends none",
    ),
)
