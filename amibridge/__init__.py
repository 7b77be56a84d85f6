"""amibridge joins Asterisk and RetailCRM: AMI events become calls, calls reach the CRM."""

__version__ = "0.1.0"
