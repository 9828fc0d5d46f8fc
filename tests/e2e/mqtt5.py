"""MQTT 5 clients of the tests: mutual TLS, clean start, reconnecting whatever becomes of the broker."""
import os
import ssl
import threading
import time

import paho.mqtt.client as paho

from lab import PATIENCE
from proc import check


class _Paho(paho.Client):
    """The library's own thread dies of some TLS errors when a broker is killed; this one begins anew."""
    ending = False

    def _thread_main(self):
        while not self.ending:
            try:
                self.loop_forever(retry_first_connection=True)
            except (OSError, ValueError):
                self._begin_anew()

    def _begin_anew(self):
        while not self.ending:
            time.sleep(0.3)
            try:
                self.reconnect()  # also drops the packet that was half handled
                return
            except (OSError, ValueError):
                pass


class Client:
    """A connected client with its own certificate (files = ca, crt, key; else one issued for cn). on_message(topic,
    payload) runs in its thread; what that raises is kept in `errors`."""

    def __init__(self, lab, cn, subscribe=(), on_message=None, files=None, will=None):
        self.subscribe, self.errors, self._up = list(subscribe), [], threading.Event()
        self._on_message = on_message
        ca, crt, key = files or (os.path.join(lab.cloud.pki, "ca.crt"), *lab.client_cert(cn))
        self.paho = c = _Paho(client_id=cn, protocol=paho.MQTTv5)
        c.tls_set(ca_certs=ca, certfile=crt, keyfile=key, tls_version=ssl.PROTOCOL_TLS_CLIENT)
        c.reconnect_delay_set(1, 1)
        c.on_connect, c.on_message = self._connected, self._message
        c.on_subscribe = lambda *_: self._up.set()
        if will:
            c.will_set(will[0], will[1], qos=1, retain=True)
        c.connect(lab.host, lab.broker.port, keepalive=20, clean_start=True)
        c.loop_start()
        lab.on_close(self.close)
        check(self._up.wait(20 * PATIENCE), f"MQTT client {cn} is not connected and subscribed")

    def _connected(self, client, _user, _flags, code, _properties=None):
        if code != 0:
            return
        if self.subscribe:
            client.subscribe([(t, 1) for t in self.subscribe])
        else:
            self._up.set()

    def _message(self, _client, _user, message):
        try:
            self._on_message(message.topic, bytes(message.payload))
        except Exception as e:  # kept for the test to find; the library's thread would die of it
            self.errors.append(f"{message.topic}: {type(e).__name__}: {e}")

    @property
    def connected(self):
        return self.paho.is_connected()

    def publish(self, topic, payload, qos=1, retain=False):
        self.paho.publish(topic, payload, qos=qos, retain=retain)

    def close(self):
        self.paho.ending = True
        self.paho.disconnect()
        self.paho.loop_stop()
