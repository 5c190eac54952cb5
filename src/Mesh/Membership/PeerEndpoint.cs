// SPDX-License-Identifier: Apache-2.0

using System.Net;

namespace Mooncake.Mesh.Membership;

/// <summary>A node's address, host and port, in canonical form; what "listen" and "advertise" hold.</summary>
public sealed record PeerEndpoint
{
    private PeerEndpoint(string host, int port)
    {
        Host = host;
        Port = port;
    }

    /// <summary>
    /// Host name in lower case, IPv4 address, or IPv6 address without brackets, with its zone if any.
    /// </summary>
    public string Host { get; }

    /// <summary>Port, 0 to 65535; 0 means any free one.</summary>
    public int Port { get; }

    /// <summary>Whether it stands for every address of the host: it can be listened on but never advertised.</summary>
    public bool IsWildcard =>
        IPAddress.TryParse(Host, out var address) &&
        (address.Equals(IPAddress.Any) || address.Equals(IPAddress.IPv6Any) ||
         (address.IsIPv4MappedToIPv6 && address.MapToIPv4().Equals(IPAddress.Any)));

    /// <summary>Whether only processes of this host reach it.</summary>
    public bool IsLoopback =>
        IPAddress.TryParse(Host, out var address)
            ? IPAddress.IsLoopback(address)
            : Host is "localhost" || Host.EndsWith(".localhost", StringComparison.Ordinal);

    /// <summary>The same host with another port.</summary>
    public PeerEndpoint WithPort(int port)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(port);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(port, 65535);
        return new PeerEndpoint(Host, port);
    }

    /// <summary>Parses "host", "host:port", "::1", "[::1]" or "[::1]:port"; without a port it is 0.</summary>
    /// <param name="setting">The setting the text comes from, for the error: "listen", "advertise".</param>
    /// <param name="text">What was typed.</param>
    /// <returns>The endpoint, or InvalidArgument at stage "config:setting" naming setting and text.</returns>
    public static MeshResult<PeerEndpoint> Parse(string setting, string text)
    {
        ArgumentNullException.ThrowIfNull(setting);
        ArgumentNullException.ThrowIfNull(text);
        string trimmed = text.Trim();
        string host = "";
        int port = -1;
        string? wrong = trimmed.Contains('/')
            ? "expected host:port, without a scheme or a path"
            : HostPort.Split(trimmed, out host, out port);
        if (wrong is not null)
            return new MeshError(MeshErrorCode.InvalidArgument, $"config:{setting}", $"{setting} '{text}': {wrong}");
        return new PeerEndpoint(host, Math.Max(0, port));
    }

    /// <summary>host:port, with brackets around IPv6.</summary>
    public override string ToString() => HostPort.Join(Host, Port);
}
