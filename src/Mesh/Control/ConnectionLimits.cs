// SPDX-License-Identifier: Apache-2.0

using System.Net;

namespace Mooncake.Mesh.Control;

/// <summary>
/// How many connections a node serves, in all and for one address, and how many of them may still be shaking hands.
/// Data and shared-memory connections leave this count once they are open: those lanes have limits of their own.
/// Thread-safe.
/// </summary>
internal sealed class ConnectionLimits
{
    /// <summary>Most connections of a node.</summary>
    public const int MaxConnections = 4096;

    /// <summary>Most connections from one address; all of a Unix socket are from one.</summary>
    public const int MaxPerAddress = 1024;

    /// <summary>Most connections of a node that have not shaken hands yet.</summary>
    public const int MaxHandshakes = 1024;

    /// <summary>Most such connections from one address.</summary>
    public const int MaxHandshakesPerAddress = 256;

    private readonly Dictionary<string, Count> _addresses = [];
    private int _connections;
    private int _handshakes;
    private long _refused;

    /// <summary>Connections served now.</summary>
    public int Connections
    {
        get
        {
            lock (_addresses)
                return _connections;
        }
    }

    /// <summary>Connections refused for one of the limits.</summary>
    public long Refused => Volatile.Read(ref _refused);

    /// <summary>The address of a remote endpoint: without its port, or "unix".</summary>
    public static string AddressOf(string remoteEndpoint) =>
        IPEndPoint.TryParse(remoteEndpoint, out var endpoint) ? endpoint.Address.ToString() : "unix";

    /// <summary>Counts a new connection, which has its hands to shake.</summary>
    /// <returns>Busy naming the limit that is reached; null: it is counted, and <see cref="Leave"/> follows.</returns>
    public MeshError? Enter(string address)
    {
        lock (_addresses)
        {
            var count = _addresses.GetValueOrDefault(address);
            string? full = _connections >= MaxConnections ? $"this node has {MaxConnections} connections, its limit"
                : count.Connections >= MaxPerAddress
                    ? $"this node has {MaxPerAddress} connections from {address}, the limit of one address"
                : _handshakes >= MaxHandshakes ? $"this node has {MaxHandshakes} handshakes in progress, its limit"
                : count.Handshakes >= MaxHandshakesPerAddress
                    ? $"this node has {MaxHandshakesPerAddress} handshakes in progress with {address}, the limit of "
                        + "one address"
                : null;
            if (full is not null)
            {
                _refused++;
                return new MeshError(MeshErrorCode.Busy, "connect", full);
            }

            _addresses[address] = new Count(count.Connections + 1, count.Handshakes + 1);
            _connections++;
            _handshakes++;
            return null;
        }
    }

    /// <summary>A connection has shaken hands, or failed to; called once for each.</summary>
    public void HandshakeEnded(string address)
    {
        lock (_addresses)
        {
            var count = _addresses[address];
            _addresses[address] = count with { Handshakes = count.Handshakes - 1 };
            _handshakes--;
        }
    }

    /// <summary>A connection is gone; after <see cref="HandshakeEnded"/>.</summary>
    public void Leave(string address)
    {
        lock (_addresses)
        {
            var count = _addresses[address];
            if (count.Connections == 1)
                _addresses.Remove(address);
            else
                _addresses[address] = count with { Connections = count.Connections - 1 };
            _connections--;
        }
    }

    private readonly record struct Count(int Connections, int Handshakes);
}
