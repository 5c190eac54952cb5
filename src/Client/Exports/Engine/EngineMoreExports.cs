// SPDX-License-Identifier: Apache-2.0

// On the data path.
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;
using Mooncake.Mesh.Client.Engine;
using Mooncake.Mesh.Exports.Arguments;
using Mooncake.Mesh.Exports.Guest;
using Mooncake.Mesh.Exports.Native;
using Mooncake.Mesh.Transfer.Engine;

namespace Mooncake.Mesh.Exports.Engine;

/// <summary>mooncake_mesh.h: what engines can do beyond transfer_engine_c.h.</summary>
internal static unsafe class EngineMoreExports
{
    private const int MostMilliseconds = 86_400_000;

    [UnmanagedCallersOnly(EntryPoint = "mooncake_mesh_engine_allocate", CallConvs = [typeof(CallConvCdecl)])]
    public static long Allocate(nint engine, nuint length, nint* memory) => EngineDoor.With(engine, e =>
    {
        Given.Out(memory, "the place of the memory");
        *memory = 0;
        return EngineDoor.Of(e.AllocateManaged(length), address =>
        {
            *memory = address;
            return 0;
        });
    });

    [UnmanagedCallersOnly(EntryPoint = "mooncake_mesh_engine_free", CallConvs = [typeof(CallConvCdecl)])]
    public static long Free(nint engine, nint memory, nuint length) =>
        EngineDoor.With(engine, e => EngineDoor.Of(e.FreeManaged(memory, length)));

    [UnmanagedCallersOnly(EntryPoint = "mooncake_mesh_engine_first_buffer", CallConvs = [typeof(CallConvCdecl)])]
    public static long FirstBuffer(nint engine, int segment, ulong* address) => EngineDoor.With(engine, e =>
    {
        Given.Out(address, "the place of the address");
        *address = 0;
        return EngineDoor.Of(e.GetFirstBufferAddress(segment), first =>
        {
            *address = first;
            return 0;
        });
    });

    [UnmanagedCallersOnly(EntryPoint = "mooncake_mesh_engine_topology", CallConvs = [typeof(CallConvCdecl)])]
    public static long Topology(nint engine, byte* devices, byte** json, nuint* size) => EngineDoor.With(engine, e =>
    {
        NewMemory.Clear((void**)json, size);
        return EngineDoor.Of(e.LocalTopology(Given.TextOrEmpty(devices, "devices")),
            text => NewMemory.Give(Encoding.UTF8.GetBytes(text), (void**)json, size));
    });

    [UnmanagedCallersOnly(EntryPoint = "mooncake_mesh_engine_probe", CallConvs = [typeof(CallConvCdecl)])]
    public static long Probe(nint engine, byte* name) =>
        EngineDoor.With(engine, e => EngineDoor.Of(e.SendProbe(Given.Text(name, "segment_name"))));

    [UnmanagedCallersOnly(EntryPoint = "mooncake_mesh_engine_transfer", CallConvs = [typeof(CallConvCdecl)])]
    public static long Transfer(nint engine, TransferRequest* requests, nuint count, int milliseconds, int* status,
        ulong* batch) => EngineDoor.With(engine, e =>
        {
            Begin(milliseconds, status, batch);
            return TransferAll(e, EngineBatchExports.Requests(requests, count), milliseconds, status, batch);
        });

    [UnmanagedCallersOnly(EntryPoint = "mooncake_mesh_engine_transfer_on_stream",
        CallConvs = [typeof(CallConvCdecl)])]
    public static long TransferOnStream(nint engine, TransferRequest* requests, nuint count, nint stream,
        int milliseconds, int* status, ulong* batch) => EngineDoor.With(engine, e =>
        {
            Begin(milliseconds, status, batch);
            var given = EngineBatchExports.Requests(requests, count);
            var awaited = e.AwaitStream(given, stream);
            if (!awaited.Succeeded)
                return EngineDoor.Of(awaited.Error);
            if (awaited.Value)
                return TransferAll(e, given, milliseconds, status, batch);
            *status = (int)TransferState.Timeout;
            return 0;
        });

    [UnmanagedCallersOnly(EntryPoint = "mooncake_mesh_engine_wait", CallConvs = [typeof(CallConvCdecl)])]
    public static long Wait(nint engine, ulong batch, int milliseconds, int* status, ulong* bytes) =>
        EngineDoor.With(engine, e =>
        {
            Given.Out(status, "the place of the status");
            CheckWait(milliseconds);
            return WaitFor(e, batch, milliseconds, status, bytes);
        });

    private static void Begin(int milliseconds, int* status, ulong* batch)
    {
        Given.Out(status, "the place of the status");
        Given.Out(batch, "the place of the batch");
        *status = (int)TransferState.Waiting;
        *batch = 0;
        CheckWait(milliseconds);
    }

    private static long TransferAll(TransferEngine engine, ReadOnlySpan<TransferRequest> requests, int milliseconds,
        int* status, ulong* batch)
    {
        var made = engine.AllocateBatch(requests.Length);
        if (!made.Succeeded)
            return EngineDoor.Of(made.Error);
        if (engine.Submit(made.Value, requests) is { } refused)
        {
            _ = engine.FreeBatch(made.Value);
            return EngineDoor.Of(refused);
        }

        *batch = made.Value;
        long code = WaitFor(engine, made.Value, milliseconds, status, null);
        if (code == 0 && engine.FreeBatch(made.Value) is null)
            *batch = 0;
        return code;
    }

    private static long WaitFor(TransferEngine engine, ulong batch, int milliseconds, int* status, ulong* bytes) =>
        EngineDoor.Of(engine.Wait(batch, TimeSpan.FromMilliseconds(milliseconds)), now =>
        {
            *status = (int)now.State;
            if (bytes is not null)
                *bytes = now.TransferredBytes;
            return now.IsFinal ? 0 : ErrorCodes.Pending;
        });

    private static void CheckWait(int milliseconds)
    {
        if (milliseconds is < 0 or > MostMilliseconds)
            throw Given.Wrong($"the wait is {milliseconds} ms; 0 to {MostMilliseconds} are legal");
    }
}
