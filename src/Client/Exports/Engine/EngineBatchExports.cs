// SPDX-License-Identifier: Apache-2.0

// On the data path.
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;
using Mooncake.Mesh.Exports.Arguments;
using Mooncake.Mesh.Exports.Guest;
using Mooncake.Mesh.Transfer.Engine;

namespace Mooncake.Mesh.Exports.Engine;

/// <summary>transfer_engine_c.h: batches of transfers, and messages.</summary>
internal static unsafe class EngineBatchExports
{
    private const ulong InvalidBatch = ulong.MaxValue;
    private const int MostDeviceName = 63;

    [UnmanagedCallersOnly(EntryPoint = "allocateBatchID", CallConvs = [typeof(CallConvCdecl)])]
    public static ulong Allocate(nint engine, nuint size)
    {
        ulong batch = InvalidBatch;
        _ = EngineDoor.With(engine, e => EngineDoor.Of(e.AllocateBatch((int)Math.Min(size, int.MaxValue)), made =>
        {
            batch = made;
            return 0;
        }));
        return batch;
    }

    [UnmanagedCallersOnly(EntryPoint = "freeBatchID", CallConvs = [typeof(CallConvCdecl)])]
    public static int Free(nint engine, ulong batch) =>
        (int)EngineDoor.With(engine, e => EngineDoor.Of(e.FreeBatch(batch)));

    [UnmanagedCallersOnly(EntryPoint = "submitTransfer", CallConvs = [typeof(CallConvCdecl)])]
    public static int Submit(nint engine, ulong batch, TransferRequest* requests, nuint count) =>
        (int)EngineDoor.With(engine, e => EngineDoor.Of(e.Submit(batch, Requests(requests, count))));

    [UnmanagedCallersOnly(EntryPoint = "submitTransferWithNotify", CallConvs = [typeof(CallConvCdecl)])]
    public static int SubmitWithNotify(nint engine, ulong batch, TransferRequest* requests, nuint count,
        notify_msg notify) => (int)EngineDoor.With(engine,
            e => EngineDoor.Of(e.SubmitWithNotify(batch, Requests(requests, count), Notify(notify))));

    [UnmanagedCallersOnly(EntryPoint = "getTransferStatus", CallConvs = [typeof(CallConvCdecl)])]
    public static int Status(nint engine, ulong batch, nuint task, TransferStatus* status) =>
        (int)EngineDoor.With(engine, e =>
        {
            Given.Out(status, "the place of the status");
            return EngineDoor.Of(e.GetStatus(batch, (int)Math.Min(task, int.MaxValue)), now =>
            {
                *status = now;
                return 0;
            });
        });

    [UnmanagedCallersOnly(EntryPoint = "genNotifyInEngine", CallConvs = [typeof(CallConvCdecl)])]
    public static int SendNotify(nint engine, ulong target, notify_msg notify) => (int)EngineDoor.With(engine,
        e => EngineDoor.Of(e.SendNotify(target > int.MaxValue ? -1 : (int)target, Notify(notify))));

    [UnmanagedCallersOnly(EntryPoint = "getNotifsFromEngine", CallConvs = [typeof(CallConvCdecl)])]
    public static notify_msg* TakeNotifies(nint engine, int* count)
    {
        notify_msg* taken = null;
        _ = EngineDoor.With(engine, e =>
        {
            Given.Out(count, "the place of the count");
            *count = 0;
            var messages = e.TakeNotifies();
            taken = Native(messages);
            *count = messages.Count;
            return 0;
        });
        return taken;
    }

    [UnmanagedCallersOnly(EntryPoint = "freeNotifsMsgBuf", CallConvs = [typeof(CallConvCdecl)])]
    public static int FreeNotifies(notify_msg* messages, int count)
    {
        // One block, whatever the count.
        _ = count;
        LibC.free(messages);
        return 0;
    }

    [UnmanagedCallersOnly(EntryPoint = "getNicLoadStats", CallConvs = [typeof(CallConvCdecl)])]
    public static int LoadStats(nint engine, nic_load_stat* stats, nuint* count) => (int)EngineDoor.With(engine, e =>
    {
        Given.Out(count, "the place of the count");
        var loads = e.RailLoads();
        nuint room = stats is null ? 0 : *count;
        *count = (nuint)loads.Count;
        for (int i = 0; i < loads.Count && (nuint)i < room; i++)
        {
            var name = new Span<byte>(stats[i].device_name, MostDeviceName + 1);
            name.Clear();
            _ = Encoding.UTF8.TryGetBytes(loads[i].Device, name[..MostDeviceName], out _);
            stats[i].inflight_bytes = loads[i].InflightBytes;
            stats[i].ewma_bandwidth_bps = loads[i].BytesPerSecond;
        }

        return stats is not null && room < (nuint)loads.Count
            ? EngineDoor.Fail(TransferErrorCode.InvalidArgument, $"room for {room} of {loads.Count} entries")
            : 0;
    });

    /// <summary>The requests that C passes.</summary>
    public static ReadOnlySpan<TransferRequest> Requests(TransferRequest* requests, nuint count) =>
        new(requests, Given.Count(count, sizeof(TransferRequest), (nint)requests));

    private static TransferNotify Notify(notify_msg notify) =>
        new(Given.Text(notify.name, "the message's name"), Given.Text(notify.msg, "the message"));

    /// <summary>The messages in one block of malloc: the array, then the texts. NULL: there is none.</summary>
    private static notify_msg* Native(IReadOnlyList<TransferNotify> messages)
    {
        if (messages.Count == 0)
            return null;
        nuint size = (nuint)(messages.Count * sizeof(notify_msg));
        foreach (var message in messages)
            size += (nuint)(Encoding.UTF8.GetByteCount(message.Name) + Encoding.UTF8.GetByteCount(message.Message) + 2);
        var block = (notify_msg*)LibC.malloc(size);
        if (block is null)
            throw new OutOfMemoryException($"no {size} bytes for {messages.Count} messages");
        byte* at = (byte*)(block + messages.Count);
        byte* end = (byte*)block + size;
        for (int i = 0; i < messages.Count; i++)
        {
            block[i].name = at;
            at = Write(messages[i].Name, at, end);
            block[i].msg = at;
            at = Write(messages[i].Message, at, end);
        }

        return block;
    }

    private static byte* Write(string text, byte* at, byte* end)
    {
        int length = Encoding.UTF8.GetBytes(text, new Span<byte>(at, (int)(end - at)));
        at[length] = 0;
        return at + length + 1;
    }
}
