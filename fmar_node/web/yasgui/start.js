// The SPARQL page: YASGUI on this node's own endpoint, with the packaged queries as tabs to begin with.
"use strict";
(() => {
  const given = JSON.parse(document.getElementById("given").textContent);
  const endpoint = new URL(given.path, window.location.href).href;
  Yasgui.Yasqe.defaults.value = given.queries[0].text;
  Yasgui.Yasqe.defaults.autocompleters = ["variables"]; // the others ask other sites
  document.getElementById("plain").hidden = true;
  const yasgui = new Yasgui(document.getElementById("yasgui"), {
    requestConfig: { endpoint, method: "POST" },
    copyEndpointOnNewTab: false,
    endpointCatalogueOptions: { getData: () => [{ endpoint }] },
    persistenceId: `fmar ${endpoint}`,
  });
  const list = document.getElementById("examples");
  for (const query of given.queries) {
    const button = document.createElement("button");
    button.textContent = query.name;
    button.title = query.about;
    button.addEventListener("click", () => {
      const tab = yasgui.addTab(true, { name: query.name });
      tab.setQuery(query.text);
      tab.setEndpoint(endpoint);
      tab.query();
    });
    list.append(button, " ");
  }
})();
