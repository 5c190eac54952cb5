// SPDX-License-Identifier: Apache-2.0

using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace Mooncake.Mesh.Membership;

/// <summary>Splits and checks "host", "host:port", "v6", "[v6]" and "[v6]:port" as people type them.</summary>
internal static class HostPort
{
    private const int MaxHostLength = 253;

    /// <summary>The host in canonical form (IPv6 without brackets) and the port, or -1 when none was given.</summary>
    /// <returns>What is wrong, or null.</returns>
    public static string? Split(string text, out string host, out int port)
    {
        host = "";
        port = -1;
        string hostText = text;
        string? portText = null;
        bool bracketed = text.StartsWith('[');
        if (bracketed)
        {
            int close = text.IndexOf(']');
            if (close < 0)
                return "the bracket is not closed";
            hostText = text[1..close];
            string rest = text[(close + 1)..];
            if (rest.Length > 0 && rest[0] != ':')
                return "only :port may follow the bracket";
            portText = rest.Length > 0 ? rest[1..] : null;
        }
        else if (text.IndexOf(':') is var colon && colon >= 0 && colon == text.LastIndexOf(':'))
        {
            hostText = text[..colon];
            portText = text[(colon + 1)..];
        }

        if (portText is not null && !TryPort(portText, out port))
            return $"the port '{portText}' is not a number from 0 to 65535";
        return hostText.Contains(':') ? Ipv6(hostText, out host)
            : bracketed ? "only an IPv6 address stands in brackets" : NameOrIpv4(hostText, out host);
    }

    private static bool TryPort(string text, out int port) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out port) && port <= 65535;

    private static string? Ipv6(string text, out string host)
    {
        // The zone is kept as typed: a parser may turn it into an interface index, which changes at reboot.
        int percent = text.IndexOf('%');
        string address = percent < 0 ? text : text[..percent];
        string zone = percent < 0 ? "" : text[percent..];
        host = "";
        if (!IPAddress.TryParse(address, out var parsed) || parsed.AddressFamily != AddressFamily.InterNetworkV6)
            return "not an IPv6 address";
        if (percent >= 0 && (zone.Length < 2 || zone.AsSpan(1).ContainsAnyExcept(NameCharacters)))
            return "the zone after % is empty or has odd characters";
        host = parsed + zone;
        return null;
    }

    private static readonly System.Buffers.SearchValues<char> NameCharacters =
        System.Buffers.SearchValues.Create("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");

    private static string? NameOrIpv4(string text, out string host)
    {
        host = text.ToLowerInvariant().TrimEnd('.');
        if (host.Length is 0 or > MaxHostLength)
            return $"the host is empty or longer than {MaxHostLength} characters";
        if (host.AsSpan().ContainsAnyExcept(NameCharacters))
            return "the host has characters other than letters, digits, '.', '-' and '_'";
        string[] labels = host.Split('.');
        if (Array.Exists(labels, label => label.Length is 0 or > 63 || label[0] == '-' || label[^1] == '-'))
            return "a part of the host name is empty, longer than 63 characters, or begins or ends with '-'";
        if (!char.IsAsciiDigit(labels[^1][0]) || labels[^1].AsSpan().ContainsAnyExceptInRange('0', '9'))
            return null;
        // A name whose last part is a number can only be meant as an IPv4 address; shorthands such as 127.1 are traps.
        if (labels.Length != 4 || !IPAddress.TryParse(host, out var parsed))
            return "not an IPv4 address";
        host = parsed.ToString();
        return null;
    }

    /// <summary>host:port with brackets around IPv6.</summary>
    public static string Join(string host, int port) =>
        host.Contains(':') ? string.Create(CultureInfo.InvariantCulture, $"[{host}]:{port}")
            : string.Create(CultureInfo.InvariantCulture, $"{host}:{port}");
}
