# SPDX-License-Identifier: Apache-2.0
"""An installation with the smallest desk that is one, and real servers: tenant, team, queue, agents, a mailbox in and one out."""

from harness.services import Installation
from harness.wait import wait_until


class WholeDesk(Installation):
    """The desk of one domain; `servers` hold its mailbox, mail leaves through `smtp_port`."""

    def __init__(self, postgres, folder, servers, domain, agents=("agent",), **options):
        super().__init__(postgres, folder, dict(options.pop("settings", {}), MAILCASE_TENANT="demo", MAILCASE_USER=agents[0]),
                         **options)
        self.servers, self.domain, self.agents = servers, domain, agents
        self.address = f"support@{domain}"
        self.box = servers.mailbox(self.address)

    def agent_address(self, agent="agent"):
        return f"{agent}@{self.domain}"

    def set_up(self, smtp_port, queue_options=(), outbound_options=(), **mailbox_options):
        self.casectl("tenant", "add", "demo")
        members = []
        for agent in self.agents:
            self.casectl("user", "add", agent, "--name", f"Agent {agent.title()}", "--address", self.agent_address(agent))
            members += ["--member", agent]
        self.casectl("team", "add", "support", "--distribution", "round_robin", *members)
        self.casectl("queue", "add", "support", "--team", "support", *queue_options)
        self.casectl("outbound-mailbox", "add", "support", "--host", "127.0.0.1", "--port", smtp_port, "--tls", "clear",
                     "--sender-address", self.address, "--sender-name", "Demo Support", "--default", *outbound_options)
        self.add_mailbox(**mailbox_options)
        return self

    def add_mailbox(self, *options, host="127.0.0.1", port=None, tls="clear", start="all", **named):
        """A mailbox whose mail is loud from the first on; `named` are further options of `casectl mailbox add`."""
        for name, value in named.items():
            options += (f"--{name.replace('_', '-')}", value)
        self.casectl("mailbox", "add", self.address, "--host", host, "--port", port or self.servers.port["imap"], "--tls", tls,
                     "--user", self.address, "--password-file", self.secret_file(self.domain, self.box.password),
                     "--queue", "support", "--from", start, "--loud", *options)

    def mailbox_state(self):
        return self.casectl_json("mailbox", "show", self.address)[0]

    def wait_mailbox(self, *states, seconds=60):
        """The mailbox as `casectl mailbox show` has it, once it is in one of the states."""
        last = {}

        def there():
            last.update(self.mailbox_state())
            return last["state"] in states
        wait_until(there, seconds, lambda: f"mailbox {' or '.join(states)}, it is {last}")
        return last

    def start_all(self, **settings):
        return self.start("fetcher", "threader", "router", "notifier", **settings)

    def where_is(self, message_id):
        """The ledger's rows of a Message-ID; none before it was taken."""
        done = self.casectl("where-is", "--message-id", message_id, "--json", check=False)
        return [] if done.returncode == 3 else self.parse_json(done.stdout)

    def wait_case_of(self, message_id, seconds=60):
        """The number of the case that the mail is in."""
        def number():
            return next((row["case"] for row in self.where_is(message_id) if row["case"]), None)
        return wait_until(number, seconds, lambda: f"a case of {message_id}: {self.where_is(message_id)}; {self.troubles()}")

    def message(self, number, message_id):
        """A message of the case's list, by its Message-ID."""
        return next(m for m in self.case(number)["message_list"] if m["message_id"] == message_id)

    def outbound(self, number, kind=None):
        return [o for o in self.casectl_json("outbound", "list") if o["case"] == number and kind in (None, o["kind"])]
