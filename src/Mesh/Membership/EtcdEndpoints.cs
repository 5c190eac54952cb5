// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Membership;

/// <summary>The list of etcd endpoints in canonical form: one scheme for all, each with its port.</summary>
public sealed record EtcdEndpoints
{
    /// <summary>Port of an endpoint typed without one.</summary>
    public const int DefaultPort = 2379;

    /// <summary>Most endpoints in a list.</summary>
    public const int MaxCount = 64;

    private EtcdEndpoints(IReadOnlyList<string> addresses, bool tls)
    {
        Addresses = addresses;
        Tls = tls;
    }

    /// <summary>host:port of each endpoint, in the order typed, without repeats; IPv6 in brackets.</summary>
    public IReadOnlyList<string> Addresses { get; }

    /// <summary>Whether they are reached over TLS.</summary>
    public bool Tls { get; }

    /// <summary>The list as URLs separated by commas.</summary>
    public override string ToString() =>
        string.Join(',', Addresses.Select(address => (Tls ? "https://" : "http://") + address));

    /// <summary>
    /// Parses endpoints separated by ',' or ';', each "host", "host:port" or an http or https URL of these; the list
    /// may open with "etcd://" and end with a separator. An endpoint without a scheme takes the scheme of the others.
    /// </summary>
    /// <returns>The list, or InvalidArgument at stage "config:etcd" naming the text.</returns>
    public static MeshResult<EtcdEndpoints> Parse(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        string list = text.Trim();
        if (list.StartsWith("etcd://", StringComparison.OrdinalIgnoreCase))
            list = list["etcd://".Length..];
        var addresses = new List<string>();
        bool plain = false;
        bool tls = false;
        foreach (string part in list.Split([',', ';'], StringSplitOptions.TrimEntries))
        {
            if (part.Length == 0)
                continue;
            string rest = WithoutScheme(part, ref plain, ref tls);
            string? wrong = One(rest, out string address);
            if (wrong is not null)
                return Wrong(text, $"'{part}': {wrong}");
            if (!addresses.Contains(address))
                addresses.Add(address);
        }

        if (plain && tls)
            return Wrong(text, "http and https endpoints are mixed");
        if (addresses.Count is 0 or > MaxCount)
            return Wrong(text, $"{addresses.Count} endpoints, expected 1 to {MaxCount}");
        return new EtcdEndpoints(addresses, tls);
    }

    private static string WithoutScheme(string part, ref bool plain, ref bool tls)
    {
        if (part.StartsWith("http://", StringComparison.OrdinalIgnoreCase))
        {
            plain = true;
            part = part["http://".Length..];
        }
        else if (part.StartsWith("https://", StringComparison.OrdinalIgnoreCase))
        {
            tls = true;
            part = part["https://".Length..];
        }
        else
        {
            return part;
        }

        // "http://host:2379/" is what browsers and shells leave behind: an empty path is none.
        return part.EndsWith('/') ? part[..^1] : part;
    }

    private static string? One(string text, out string address)
    {
        address = "";
        if (text.StartsWith("unix:", StringComparison.OrdinalIgnoreCase))
            return "unix sockets are not supported for etcd";
        if (text.Contains("://", StringComparison.Ordinal))
            return "the scheme must be http or https";
        if (text.Contains('/'))
            return "an endpoint has no path";
        string? wrong = HostPort.Split(text, out string host, out int port);
        if (wrong is not null)
            return wrong;
        if (port == 0)
            return "port 0 cannot be connected to";
        address = HostPort.Join(host, port < 0 ? DefaultPort : port);
        return null;
    }

    private static MeshError Wrong(string text, string why) =>
        new(MeshErrorCode.InvalidArgument, "config:etcd", $"etcd endpoints '{text}': {why}");
}
