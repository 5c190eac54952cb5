// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Transfer;

namespace Mooncake.Mesh.Client;

/// <summary>
/// Memory that a client is told of once. It need not be: of other memory the driver of the devices is asked each time,
/// and network cards are given it for each transfer, which takes longer than the transfer.
/// </summary>
public static class KnownMemory
{
    /// <summary>
    /// Asks where memory lies, host or device, and lets the network cards reach it, where there are any: its pages are
    /// locked, which takes the kernel some time. It stays the same memory until <see cref="UnregisterMemory"/>. At most
    /// 65,536 ranges, of which the cards take 1,024; others are as memory that was not registered.
    /// </summary>
    public static void RegisterMemory(this MeshClient client, NativeRange memory)
    {
        ArgumentNullException.ThrowIfNull(client);
        if (memory.Validate("client:memory", "the memory") is { } wrong)
            throw new MeshException(wrong);
        client.Operations.RegisterAsync(memory).GetAwaiter().GetResult();
    }

    /// <summary>
    /// Forgets the memory that was registered with this first byte; before it is freed, and not while a call uses it.
    /// </summary>
    public static void UnregisterMemory(this MeshClient client, nint address)
    {
        ArgumentNullException.ThrowIfNull(client);
        client.Operations.Unregister(address);
    }
}
