"""In what an account of the sandbox may behave otherwise than amibridge assumes; `crm_otherwise` makes it so."""

from __future__ import annotations

from enum import StrEnum


class Otherwise(StrEnum):
    RIGHTS_REFUSED_IN_OTHER_WORDS = "a missing right is 400 without a known text"
    OWN_RIGHTS_HIDDEN = "a key may not ask for its own rights"
    SETTINGS_HIDDEN = "a key may not read settings"
    TIMES_IN_UTC = "histories say in UTC when they were made"
    SMALL_PAGES = "a page holds 50 at most"
    BIG_PAGES_REFUSED = "a page of 100 is refused"
    FEW_IDS = "50 ids at most"
    MORE_STATUSES_OF_USERS = "a user can be away"
    LOOKUP_AS_TYPED = "telephony/manager finds a number only as it was typed"
    LOOKUP_GUESSES = "telephony/manager names somebody always"
    LOOKUP_WITHOUT_TWINS = "telephony/manager names nobody where several have the number"
    LOOKUP_WITHOUT_CODE = "telephony/manager tells no extension"
    SEARCH_BY_NAME_ALONE = "filter[name] does not look at phones"
    MERGES_FORGOTTEN = "who was merged is not found, and into whom is not said"
    HISTORY_BACKWARDS = "a history begins with the newest"
    HISTORY_REPEATS = "behind a change comes that change"
    HISTORY_WITHOUT_START = "filter[startDate] is passed over"
    HISTORY_OF_ONE_PAGE = "totalPageCount is always 1"
    HISTORY_BY_RULES = "changes are made by rules, too"
    NO_MODULE_DENIED = "a module that there is not is denied"
    MODULE_WITHOUT_TELEPHONY = "a module is told without its telephony"
    STRANGE_CODES_REFUSED = "an event for an unknown extension is refused"
    NO_TELEPHONY_IN_OTHER_WORDS = "without telephony the refusal has another text"
    CALLS_TAKEN_AGAIN = "a call that is known is taken again"
    CALLS_PASSED_OVER = "a call that is known is neither taken nor named"
    OLD_CALLS_REFUSED = "a call of the day before yesterday is too old"
    CUSTOMERS_TWICE = "an externalId may be given twice"
    EXTERNAL_ID_UNSAID = "the refusal of an externalId does not name it"
    PHONES_ADDED = "phones in an edit are added"
    TASKS_STAY_OPEN = "a task cannot be edited"
