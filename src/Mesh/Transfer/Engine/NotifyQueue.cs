// SPDX-License-Identifier: Apache-2.0

using System.Text;

namespace Mooncake.Mesh.Transfer.Engine;

/// <summary>Messages that have come and were not taken yet, bounded. Thread-safe.</summary>
internal sealed class NotifyQueue
{
    /// <summary>Longest name, in bytes of UTF-8.</summary>
    public const int MostNameBytes = 4096;

    /// <summary>Longest text, in bytes of UTF-8.</summary>
    public const int MostTextBytes = 1 << 20;

    /// <summary>Most messages that wait to be taken.</summary>
    public const int MostWaiting = 16_384;

    /// <summary>Most bytes of messages that wait to be taken.</summary>
    public const long MostWaitingBytes = 64 << 20;

    private readonly Lock _gate = new();
    private List<TransferNotify> _waiting = [];
    private long _bytes;

    /// <summary>Why a message cannot be sent, or null.</summary>
    public static TransferError? Check(TransferNotify notify)
    {
        int name = Encoding.UTF8.GetByteCount(notify.Name);
        int text = Encoding.UTF8.GetByteCount(notify.Message);
        if (name <= MostNameBytes && text <= MostTextBytes)
            return null;
        return new TransferError(TransferErrorCode.InvalidArgument,
            $"a notify has a name of {name} and a text of {text} bytes; the limits are {MostNameBytes} and "
            + $"{MostTextBytes} bytes");
    }

    /// <summary>Whether a message of so many bytes has room now.</summary>
    public bool HasRoom(long bytes)
    {
        lock (_gate)
            return _waiting.Count < MostWaiting && _bytes + bytes <= MostWaitingBytes;
    }

    /// <summary>Adds a message; false: it has no room.</summary>
    public bool TryAdd(TransferNotify notify, long bytes)
    {
        lock (_gate)
        {
            if (_waiting.Count >= MostWaiting || _bytes + bytes > MostWaitingBytes)
                return false;
            _waiting.Add(notify);
            _bytes += bytes;
            return true;
        }
    }

    /// <summary>Takes all messages.</summary>
    public IReadOnlyList<TransferNotify> Take()
    {
        lock (_gate)
        {
            if (_waiting.Count == 0)
                return [];
            var taken = _waiting;
            _waiting = [];
            _bytes = 0;
            return taken;
        }
    }
}
