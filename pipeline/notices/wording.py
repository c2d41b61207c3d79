"""The tariff's words in the readers' languages (glossary of TARIFF.md)."""

from __future__ import annotations

#: table -> code -> language -> words.
_WORDS: dict[str, dict[str, dict[str, str]]] = {
    "classes": {
        "registers_down_gt50": {
            "ru": "не работает больше половины касс магазина",
            "en": "more than half of a store's registers are down",
        },
        "goods_prices_transport_stopped": {
            "ru": "товары и цены не доходят до касс",
            "en": "goods and prices do not reach the registers",
        },
        "set_server_dead": {"ru": "не работает сервер SET", "en": "the SET server is out of order"},
        "set_server_new_setup": {
            "ru": "трудности при настройке нового сервера SET",
            "en": "trouble setting up a new SET server",
        },
        "store_launch_blocked": {
            "ru": "не удаётся запустить магазин",
            "en": "the store cannot be launched",
        },
        "register_typical_ops": {
            "ru": "неправильно работают обычные операции на кассе",
            "en": "usual register operations do not work properly",
        },
        "loyalty": {"ru": "модуль лояльности", "en": "the loyalty module"},
        "goods_prices_import_export": {
            "ru": "загрузка и выгрузка товаров и цен",
            "en": "import and export of goods and prices",
        },
        "register_data_discrepancy": {
            "ru": "расхождение данных на кассе",
            "en": "data discrepancies on a register",
        },
        "set_erp_discrepancy": {
            "ru": "расхождение данных между сервером SET и учётной системой",
            "en": "discrepancies between the SET server and the ERP",
        },
        "third_party": {
            "ru": "оборудование, программы или связь других поставщиков (мы поможем советом)",
            "en": "equipment, software or lines of other suppliers (we help with advice)",
        },
        "consultation": {"ru": "консультация", "en": "consultation"},
    },
    "clocks": {
        "registration": {"ru": "регистрация", "en": "registration"},
        "consultation": {"ru": "консультация", "en": "consultation"},
        "restore": {"ru": "восстановление работы", "en": "restoration"},
        "term_agreement": {"ru": "согласование срока", "en": "agreeing on the term"},
        "agreed_term": {"ru": "согласованный срок", "en": "the agreed term"},
        "eta_notice": {"ru": "сообщение даты исправления", "en": "telling the date of the fix"},
    },
    "kinds": {
        "case_registered": {"ru": "обращение зарегистрировано", "en": "request registered"},
        "case_classified": {"ru": "срок решения", "en": "by when it will be solved"},
        "defect_recorded": {"ru": "ошибка подтверждена", "en": "error confirmed"},
        "eta": {"ru": "дата исправления", "en": "date of the fix"},
        "eta_changed": {"ru": "новая дата исправления", "en": "new date of the fix"},
        "holding": {"ru": "даты пока нет", "en": "no date yet"},
        "fix_released": {"ru": "исправление готово", "en": "fix ready"},
        "update_scheduled": {"ru": "обновление назначено", "en": "update scheduled"},
        "update_started": {"ru": "обновление началось", "en": "update started"},
        "update_done": {"ru": "обновление установлено", "en": "update done"},
        "update_postponed": {"ru": "обновление перенесено", "en": "update postponed"},
        "update_failed": {"ru": "обновление не состоялось", "en": "update did not succeed"},
        "fixed_in_your_stores": {"ru": "исправлено в ваших магазинах", "en": "fixed in your stores"},
        "case_closed": {"ru": "обращение закрыто", "en": "request closed"},
    },
}


def wording(table: str, code: str, language: str) -> str:
    """The words for a code; a code that has none yet is told as it is rather than not at all."""
    return _WORDS[table].get(code, {}).get(language, code)
