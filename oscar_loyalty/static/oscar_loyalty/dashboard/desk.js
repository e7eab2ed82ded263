/* Keys of the returns desk. Whatever a key does can be done without it: it only clicks or focuses what shows
   it. Whoever works by voice or is disturbed by them switches them off. */
(function () {
    "use strict";
    var STORE = "oscar-loyalty-desk-keys";

    function areOn() {
        try { return window.localStorage.getItem(STORE) !== "off"; } catch (error) { return true; }
    }

    function set(on) {
        try { window.localStorage.setItem(STORE, on ? "on" : "off"); } catch (error) { /* for this page only */ }
        document.documentElement.classList.toggle("desk-keys-off", !on);
        document.querySelectorAll("[data-key-switch]").forEach(function (button) {
            button.hidden = false;
            button.textContent = on ? button.dataset.on : button.dataset.off;
            button.setAttribute("aria-pressed", String(on));
        });
    }

    function isTyping(element) {
        return element && (element.isContentEditable || /^(TEXTAREA|SELECT)$/.test(element.tagName) ||
            (element.tagName === "INPUT" && !/^(checkbox|radio|button|submit|file)$/.test(element.type)));
    }

    var rows = Array.prototype.slice.call(document.querySelectorAll("[data-row]"));
    var at = -1;

    function go(step) {
        if (!rows.length) { return; }
        at = Math.min(Math.max(at + step, 0), rows.length - 1);
        var link = rows[at].querySelector("[data-open]");
        if (link) { link.focus(); }
        rows[at].scrollIntoView({ block: "nearest" });
    }

    function use(element) {
        if (element.tagName === "SUMMARY") {
            element.parentElement.open = true;
            var field = element.parentElement.querySelector("input:not([type=hidden]), select");
            (field || element).focus();
        } else if (element.tagName === "INPUT") {
            element.focus();
            element.select();
        } else {
            element.click();
            if ((element.getAttribute("href") || "").charAt(0) === "#") {
                var first = document.querySelector("[data-first]");
                if (first) { first.focus(); first.select(); }
            }
        }
    }

    document.addEventListener("keydown", function (event) {
        if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.repeat) { return; }
        if (event.key === "Escape" && isTyping(document.activeElement)) { document.activeElement.blur(); return; }
        if (!areOn() || isTyping(event.target)) { return; }
        if (event.key === "j" || event.key === "k") {
            go(event.key === "j" ? 1 : -1);
        } else if (event.key === "x" && at >= 0) {
            var box = rows[at].querySelector("input[type=checkbox]");
            if (box) { box.checked = !box.checked; }
        } else {
            var target = Array.prototype.find.call(document.querySelectorAll("[data-key]"), function (element) {
                return element.dataset.key === event.key && !element.disabled;
            });
            if (!target) { return; }
            use(target);
        }
        event.preventDefault();
    });

    document.addEventListener("click", function (event) {
        var button = event.target.closest("[data-key-switch]");
        if (button) { set(!areOn()); }
    });

    /* A second click on a button whose form is on its way is no second wish. */
    document.addEventListener("submit", function (event) {
        if (event.target.method !== "post") { return; }
        if (event.target.dataset.sent) { event.preventDefault(); return; }
        event.target.dataset.sent = "1";
    });
    window.addEventListener("pageshow", function () {
        document.querySelectorAll("form[data-sent]").forEach(function (form) { delete form.dataset.sent; });
    });

    set(areOn());
}());
