"""The currencies that there are (ISO 4217, list one; funds, metals and test codes left out)."""

from __future__ import annotations

from typing import Any

from deskplane.kernel.fields import Text, refuse

_CODES = """
AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CLP CNY COP CRC
CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR
ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK
MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE
SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VED VES VND VUV WST XAF XCD XCG XOF
XPF YER ZAR ZMW ZWG
"""
CURRENCIES = frozenset(_CODES.split())


class Currency(Text):
    """A currency (ISO 4217), in capitals."""

    def __init__(self, description: str, **common: Any) -> None:
        super().__init__(description, longest=40, **common)

    def canonical(self, text: str) -> str:
        code = text.upper()
        if code not in CURRENCIES:
            # the first two letters are the country's
            near = sorted(known for known in CURRENCIES if known[:2] == code[:2])
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise refuse("not_allowed", f"must be the code of a currency such as EUR (ISO 4217), got {text!r}{hint}")
        return code
