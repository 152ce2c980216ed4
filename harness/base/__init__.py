"""Part of paceline: functions that client and servers share; imports no other package of paceline."""
