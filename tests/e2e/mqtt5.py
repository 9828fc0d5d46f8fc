"""MQTT 5 clients of the tests: mutual TLS, clean start, reconnecting whatever becomes of the broker."""
import os
import ssl
import threading

import paho.mqtt.client as paho

from lab import PATIENCE
from proc import check


class Client:
    """A connected client with its own certificate (files = ca, crt, key; else one issued for cn). on_message(topic,
    payload) runs in its thread; what that raises is kept in `errors`."""

    def __init__(self, lab, cn, subscribe=(), on_message=None, files=None, will=None):
        self.subscribe, self.errors, self._up, self._stop = list(subscribe), [], threading.Event(), False
        self._on_message = on_message
        ca, crt, key = files or (os.path.join(lab.cloud.pki, "ca.crt"), *lab.client_cert(cn))
        self.paho = c = paho.Client(client_id=cn, protocol=paho.MQTTv5)
        c.tls_set(ca_certs=ca, certfile=crt, keyfile=key, tls_version=ssl.PROTOCOL_TLS_CLIENT)
        c.reconnect_delay_set(1, 1)
        c.on_connect, c.on_message = self._connected, self._message
        c.on_subscribe = lambda *_: self._up.set()
        if will:
            c.will_set(will[0], will[1], qos=1, retain=True)
        c.connect(lab.host, lab.broker.port, keepalive=20, clean_start=True)
        self._thread = threading.Thread(target=self._run, name=f"mqtt-{cn}", daemon=True)
        self._thread.start()
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

    def _run(self):
        while not self._stop:
            try:
                self.paho.loop_forever(retry_first_connection=True)
            except (OSError, ValueError):
                pass  # the library lets some TLS errors out when the broker is killed; it takes up from there

    @property
    def connected(self):
        return self.paho.is_connected()

    def publish(self, topic, payload, qos=1, retain=False):
        """Lost, like any QoS 0 message, when the broker dies at this very moment."""
        try:
            self.paho.publish(topic, payload, qos=qos, retain=retain)
        except (OSError, ValueError):
            pass

    def close(self):
        self._stop = True
        try:
            self.paho.disconnect()
        except (OSError, ValueError):
            pass
        self._thread.join(5)
